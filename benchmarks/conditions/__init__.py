"""The same worker under other conditions: how much waits, how far Redis is, how many queues, workers and slots."""

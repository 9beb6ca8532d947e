"""One module for each system: its jobs, its worker, and who enqueues. They run where only that system is installed."""

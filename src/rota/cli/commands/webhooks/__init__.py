"""The command for webhooks, and how they are shown."""

"""Jobs to read, to run and to copy from; nothing outside this folder needs them, but the demo."""

"""Log lines: how they look, and which events write one."""

"""The screen of one job: its life, what it holds, what it has logged and how others of its name went; and its forms."""

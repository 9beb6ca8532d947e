"""Lists of jobs on several queues as Redis holds them, page by page, in two round trips."""

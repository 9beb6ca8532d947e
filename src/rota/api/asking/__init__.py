"""Lists of jobs: what is asked for, in parameters and in one text, and where it is looked for."""

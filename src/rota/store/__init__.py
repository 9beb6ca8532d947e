"""The only room that knows SQL: the table of jobs in PostgreSQL or SQLite, its migrations, and how it is read."""

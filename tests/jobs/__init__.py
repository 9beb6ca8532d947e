"""Tests of your own jobs, a file for each module; `rota new job` writes the first ones of a job here."""

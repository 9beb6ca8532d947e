"""`rota enqueue`: one job, or those that lines of stdin describe. It loads no other command."""

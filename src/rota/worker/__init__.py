"""arq's `Worker` on rota's engine: the same arguments, functions, hooks and outcomes."""

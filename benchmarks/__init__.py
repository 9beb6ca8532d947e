"""Stock arq and rota side by side: the same jobs, on private servers, in one run. `python -m benchmarks` runs it."""

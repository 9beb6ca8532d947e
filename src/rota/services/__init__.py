"""Work that runs once for a deployment, on the worker process that leads it."""

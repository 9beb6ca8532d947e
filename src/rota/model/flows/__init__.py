"""What is made of several jobs: pipelines and batches, as values."""

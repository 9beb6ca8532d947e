"""What a person does with one job: ask what it is doing, and fix it."""

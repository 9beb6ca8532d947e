"""What a person does with one job: ask what it is doing."""

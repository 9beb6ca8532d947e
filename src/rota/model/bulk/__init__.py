"""Actions of people on jobs: which jobs, who did what to how many, and operations on many that go on by themselves."""

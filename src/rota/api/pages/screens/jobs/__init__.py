"""The screens about jobs: lists of them, one of them, a new one, and actions on many."""

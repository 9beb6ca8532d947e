"""The screens about queues."""

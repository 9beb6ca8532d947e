"""The outbox: jobs as rows of an application's own transaction, how they are inserted, and how they are sent."""

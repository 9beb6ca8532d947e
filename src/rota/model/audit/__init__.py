"""What the audit table holds of a job: the columns of its row, and how records of events change them."""

"""Actions of people: the leader carries out those on many jobs, and writes all of them into the database."""

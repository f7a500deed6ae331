"""A Deribit-faithful exchange for demonstrations, tests and faults."""

"""Which quotes count, and why the others do not."""

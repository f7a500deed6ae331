"""From the bytes of a message to the columns of a table: pure, no I/O."""

"""HOW the live view is kept: the same derivations on the newest quotes."""

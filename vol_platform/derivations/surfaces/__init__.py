"""The fitted surface of every snapshot, and its values on fixed grids."""

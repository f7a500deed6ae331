"""WHAT is derived: a folder per domain of pure functions from frames to frames."""

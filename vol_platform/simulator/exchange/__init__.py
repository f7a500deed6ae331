"""The exchange that clients see: sessions, calls, channels, faults, captures played."""

"""The spool: every message on disk, in sealed segments, before anything else happens to it."""

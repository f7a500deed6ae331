"""The `vol` command.

Each command imports what it needs when it runs, so that `vol --help` is instant.
"""

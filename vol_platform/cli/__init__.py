"""The `vol` command."""

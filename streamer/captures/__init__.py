"""Messages kept in files of their own, recorded and played again."""

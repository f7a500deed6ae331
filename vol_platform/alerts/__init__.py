"""Alert rules and the messages they become."""

"""The local stack: starts, watches and stops every part as a child process."""

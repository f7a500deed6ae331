"""Where messages come from: sockets and REST, and which channels they carry."""

"""Where messages come from: sockets, and which channels they carry."""

"""The Deribit wire: session, messages, channels and REST, without any I/O of its own."""

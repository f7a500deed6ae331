"""The Deribit wire: session, messages, channels and credits, without any I/O."""

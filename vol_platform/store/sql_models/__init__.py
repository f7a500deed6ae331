"""SQL models: one SELECT a file, with what it depends on, its tests and its pages."""

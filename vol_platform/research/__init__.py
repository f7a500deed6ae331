"""The Python face for notebooks: load a surface, a board, a history."""

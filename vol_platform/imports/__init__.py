"""Boards recorded by others: book-summary JSON and CSV files into the raw tables."""

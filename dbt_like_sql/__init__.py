"""Migrations and SQL models, shipped as package data."""

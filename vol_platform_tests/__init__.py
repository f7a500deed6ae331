"""Tests that mirror the packages and read as sentences."""

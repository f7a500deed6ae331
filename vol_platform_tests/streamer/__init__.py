"""Tests of the standalone collector."""

"""Tests of `vol_platform.imports`."""

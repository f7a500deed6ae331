"""Measurements of the speed bar; `make bench` runs them all."""

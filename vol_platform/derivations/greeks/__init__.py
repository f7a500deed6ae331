"""Prices and greeks of every listed option."""

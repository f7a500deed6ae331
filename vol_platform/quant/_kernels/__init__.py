"""Compiled loops over prices, volatilities and quotes, and how they are compiled."""

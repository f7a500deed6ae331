"""The open options-volatility platform for Deribit: from the wire to an arbitrage-free surface."""

__version__ = "0.1.0"

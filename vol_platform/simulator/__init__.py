"""A Deribit-faithful exchange for demonstrations, tests and faults."""

from vol_platform.simulator.exchange.exchange import Exchange
from vol_platform.simulator.exchange.options import ChaosOptions, ExchangeOptions
from vol_platform.simulator.market.market import Market

__all__ = ["ChaosOptions", "Exchange", "ExchangeOptions", "Market"]

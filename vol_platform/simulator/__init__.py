"""A Deribit-faithful exchange for demonstrations, tests and faults."""

from vol_platform.simulator.exchange import Exchange
from vol_platform.simulator.market import Market
from vol_platform.simulator.options import ChaosOptions, ExchangeOptions

__all__ = ["ChaosOptions", "Exchange", "ExchangeOptions", "Market"]

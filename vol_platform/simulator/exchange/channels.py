"""Names of channels: what each one carries and who may have it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["INTERVALS", "Channel", "parse_channel"]

INTERVALS = ("raw", "100ms", "agg2")


@dataclass(frozen=True, slots=True)
class Channel:
    """A parsed channel name.

    Attributes
    ----------
    name
        As subscribed.
    kind
        ``ticker``, ``trades``, ``book``, ``quote``, ``deribit_price_index`` and so on.
    subject
        The instrument, index, or ``kind.currency`` it is about; empty for platform_state.
    interval
        ``raw``, ``100ms``, ``agg2`` or empty.
    """

    name: str
    kind: str
    subject: str
    interval: str

    @property
    def needs_authentication(self) -> bool:
        """Whether only an authenticated connection may have it."""
        return self.interval == "raw"


def parse_channel(name: str) -> Channel | None:
    """Return the parsed channel, or None for a name that the exchange does not know."""
    parts = name.split(".")
    match parts:
        case ["ticker" | "trades" | "book" | "perpetual" as kind, subject, interval]:
            if interval in INTERVALS:
                return Channel(name, kind, subject, interval)
        case ["trades", kind, currency, interval]:
            if interval in INTERVALS:
                return Channel(name, "trades", f"{kind}.{currency}", interval)
        case ["quote", subject]:
            return Channel(name, "quote", subject, "")
        case ["deribit_price_index" | "deribit_volatility_index" as kind, subject]:
            return Channel(name, kind, subject, "")
        case ["markprice", "options", subject]:
            return Channel(name, "markprice.options", subject, "")
        case ["instrument", "state", kind, currency]:
            return Channel(name, "instrument.state", f"{kind}.{currency}", "")
        case ["platform_state"] | ["platform_state", "public_methods_state"]:
            return Channel(name, name, "", "")
        case _:
            return None
    return None

"""The few REST calls that a collector needs, paced as the exchange asks."""

from __future__ import annotations

import asyncio

import httpx
import msgspec

from streamer.clock import Clock
from streamer.deribit.credits import CreditBucket
from streamer.deribit.error_codes import Reaction, rule_of
from streamer.deribit.messages import Instrument, RestAnswer
from streamer.errors import ExchangeError, ExchangeRefusedError

__all__ = ["RestClient", "instruments_of"]

_LISTING_SECONDS = 10.0  # get_instruments: the strictest limit that the exchange has published
_LISTING_BURST = 5
_PRICE = 500.0
_POOL = 45_000.0  # of 50,000
_REFILL_PER_SECOND = 9_000.0  # of 10,000


class _IndexPrice(msgspec.Struct):
    index_price: float


class RestClient:
    """Asks the exchange over HTTP.

    Parameters
    ----------
    url
        For example https://www.deribit.com/api/v2.
    clock
        Where the time comes from.
    history_url
        Who is asked for old trades; empty is the same.
    """

    def __init__(self, url: str, clock: Clock, history_url: str = "") -> None:
        self._url = url.rstrip("/")
        self._history_url = history_url.rstrip("/") or self._url
        self._clock = clock
        self._client = httpx.AsyncClient(timeout=20.0, headers={"user-agent": "vol-streamer"})
        self._listed_at: list[float] = []
        self._credits = CreditBucket(_POOL, _REFILL_PER_SECOND, clock.monotonic())

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def get_instruments(self, currency: str) -> bytes:
        """Return the body of ``public/get_instruments``: every instrument of a currency.

        Raises
        ------
        ExchangeError
            No answer, or an error.
        """
        await self._wait_for_listing()
        parameters = {"currency": currency, "expired": "false"}
        return await self._get("public/get_instruments", parameters)

    async def get_book_summary(self, currency: str, kind: str) -> bytes:
        """Return the body of ``public/get_book_summary_by_currency``.

        Raises
        ------
        ExchangeError
            No answer, or an error.
        """
        parameters = {"currency": currency, "kind": kind}
        return await self._get("public/get_book_summary_by_currency", parameters)

    async def get_trades(self, parameters: dict[str, str], *, is_old: bool = False) -> bytes:
        """Return the body of ``public/get_last_trades_by_instrument``.

        Parameters
        ----------
        parameters
            Of the call.
        is_old
            The trades may be older than a day: ask the history host.

        Raises
        ------
        ExchangeError
            No answer, or an error.
        """
        method = "public/get_last_trades_by_instrument"
        if not is_old:
            return await self._get(method, parameters)
        return await self._get(method, parameters | {"include_old": "true"}, self._history_url)

    async def call(self, method: str, parameters: dict[str, str]) -> bytes:
        """Return the body of any public method's answer.

        Raises
        ------
        ExchangeRefusedError
            The same call will be refused again.
        ExchangeError
            No answer, or an error.
        """
        if method == "public/get_instruments":
            await self._wait_for_listing()
        return await self._get(method, parameters)

    async def get_index_price(self, index_name: str) -> float:
        """Return the price of an index.

        Raises
        ------
        ExchangeError
            No answer, an error, or an answer that cannot be read.
        """
        body = await self._get("public/get_index_price", {"index_name": index_name})
        try:
            answer = msgspec.json.decode(body, type=RestAnswer)
            return msgspec.json.decode(answer.result, type=_IndexPrice).index_price
        except msgspec.DecodeError as error:
            raise ExchangeError(f"the price of {index_name} cannot be read: {error}") from None

    async def get_time(self) -> int:
        """Return the exchange's time, milliseconds since the epoch.

        Raises
        ------
        ExchangeError
            No answer, or an error.
        """
        answer = msgspec.json.decode(await self._get("public/get_time", {}), type=RestAnswer)
        return msgspec.json.decode(answer.result, type=int)

    async def _get(self, method: str, parameters: dict[str, str], url: str = "") -> bytes:
        address = f"{url or self._url}/{method}"
        await self._wait_for_credits()
        try:
            response = await self._client.get(address, params=parameters)
        except httpx.HTTPError as error:
            reason = str(error) or type(error).__name__
            raise ExchangeError(f"{address} cannot be reached: {reason}") from None
        try:
            answer = msgspec.json.decode(response.content, type=RestAnswer)
        except msgspec.DecodeError:
            raise ExchangeError(
                f"{address} answered with status {response.status_code} and no JSON-RPC body"
            ) from None
        if answer.error is not None:
            rule = rule_of(answer.error.code)
            if rule.reaction is Reaction.DRAIN:
                self._credits.drain(self._clock.monotonic())
            problem = f"{address}: {answer.error.code} {rule.name} {answer.error.message}".strip()
            is_passing = rule.reaction in {Reaction.DRAIN, Reaction.RETRY}
            raise ExchangeError(problem) if is_passing else ExchangeRefusedError(problem)
        return response.content

    async def _wait_for_credits(self) -> None:
        while True:
            now = self._clock.monotonic()
            if self._credits.take(_PRICE, now):
                return
            await asyncio.sleep(self._credits.seconds_until(_PRICE, now))

    async def _wait_for_listing(self) -> None:
        """Keep to one listing in ten seconds, with a small burst."""
        window = _LISTING_SECONDS * _LISTING_BURST
        while True:
            now = self._clock.monotonic()
            self._listed_at = [then for then in self._listed_at if now - then < window]
            if len(self._listed_at) < _LISTING_BURST:
                self._listed_at.append(now)
                return
            await asyncio.sleep(self._listed_at[0] + window - now)


def instruments_of(body: bytes) -> list[Instrument]:
    """Return the instruments in an answer to get_instruments; unreadable ones are left out.

    Raises
    ------
    ExchangeError
        The body is no list.
    """
    try:
        answer = msgspec.json.decode(body, type=RestAnswer)
        raws = msgspec.json.decode(answer.result, type=list[msgspec.Raw])
    except msgspec.DecodeError as error:
        raise ExchangeError(f"the list of instruments cannot be read: {error}") from None
    instruments = []
    decoder = msgspec.json.Decoder(Instrument, strict=False)
    for raw in raws:
        try:
            instruments.append(decoder.decode(raw))
        except msgspec.DecodeError:
            continue  # the same bytes go through the spool, where the whole answer is buried
    return instruments

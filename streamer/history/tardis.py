"""Tardis ``options_chain`` files into `options_quotes`, in pieces, so that memory stays bounded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import crc32c
import numpy as np
import pyarrow as pa
import pyarrow.csv

from streamer.clock import Clock
from streamer.database.hours import HourKeeper
from streamer.database.store import Store
from streamer.decoding.columns import Provenance, RowList, build
from streamer.deribit.instruments import Kind, market_of
from streamer.deribit.messages import Instrument, TickSizeStep
from streamer.errors import HistoryError, StoreRefusedError
from streamer.history.tardis_rows import COLUMNS, Refused, TardisBatch, quotes_of
from streamer.settings import StreamerSettings

__all__ = ["TardisAccount", "store_tardis_file"]

_SOURCE = "tardis"
_BLOCK_BYTES = 4 * 1024**2  # some 20,000 lines
_FLAT_TICK, _FINE_TICK, _FINE_BELOW = 0.0005, 0.0001, 0.005
_MICROSECONDS = pa.timestamp("us", tz="UTC")


@dataclass(slots=True)
class TardisAccount:
    """What became of a file: every line is a quote or a dead letter."""

    lines: int = 0
    quotes: int = 0
    dead_letters: int = 0
    instruments: int = 0
    hours_closed: int = 0


def store_tardis_file(
    path: Path,
    settings: StreamerSettings,
    clock: Clock,
    *,
    keep_receive_times: bool = False,
    show: Callable[[TardisAccount], None] | None = None,
) -> TardisAccount:
    """Store a file; the same file again adds nothing.

    Parameters
    ----------
    path
        ``.csv``, ``.csv.gz`` or ``.csv.zst``.
    settings
        Of the collector.
    clock
        Where the time comes from.
    keep_receive_times
        Store the time at which Tardis received a row as `received_ts`.  Raw rows are kept for a
        time counted from their receipt, so old rows would vanish at once; by default it is now.
    show
        Told of the progress.

    Raises
    ------
    HistoryError
        The file is missing, has other columns, another exchange, or ends in the middle.  What was
        stored stays; the same command may be given again.
    StoreRefusedError
        ClickHouse cannot be reached or refuses us.
    """
    store = Store(settings.clickhouse)
    if not store.check():
        raise StoreRefusedError(f"ClickHouse at {store.address} cannot be reached; start it first")
    try:
        writer = _Writer(path, settings, store, clock, keep_receive_times=keep_receive_times)
        for lines in _pieces(path):
            writer.write(lines)
            if show is not None:
                show(writer.account)
        return writer.finish()
    finally:
        store.close()


def _pieces(path: Path) -> Iterator[pa.Table]:
    """Yield the lines of a file, some thousands at a time, every column as text."""
    try:
        with pa.input_stream(str(path), compression="detect") as stream:
            reader = pyarrow.csv.open_csv(
                stream,
                read_options=pyarrow.csv.ReadOptions(block_size=_BLOCK_BYTES, use_threads=False),
                convert_options=pyarrow.csv.ConvertOptions(
                    column_types=dict.fromkeys(COLUMNS, pa.string()),
                    strings_can_be_null=True,
                    null_values=[""],
                ),
            )
            absent = [name for name in COLUMNS if name not in reader.schema.names]
            if absent:
                raise HistoryError(
                    f"{path} is no options_chain file of Tardis: it has no column "
                    f"{', '.join(absent)}"
                )
            for batch in reader:
                yield pa.Table.from_batches([batch]).select(COLUMNS)
    except FileNotFoundError:
        raise HistoryError(f"{path} does not exist; check the path") from None
    except (OSError, pa.ArrowInvalid) as error:
        reason = str(error).splitlines()[0]
        raise HistoryError(
            f"{path} cannot be read: {reason}; what stands before that is stored"
        ) from None


class _Writer:
    def __init__(
        self,
        path: Path,
        settings: StreamerSettings,
        store: Store,
        clock: Clock,
        *,
        keep_receive_times: bool,
    ) -> None:
        self.account = TardisAccount()
        self._path = path
        self._store = store
        self._clock = clock
        self._keep_receive_times = keep_receive_times
        self._provenance = Provenance(settings.collector, _SOURCE, testnet=False)
        self._hours = HourKeeper(
            store=store,
            collector=settings.collector,
            clock=clock,
            grace_seconds=settings.hour_grace_seconds,
            is_replay=True,
        )
        self._instruments: dict[str, tuple[str, float, int, int]] = {}
        self._fine_markets: set[str] = set()
        self._checksum = 0

    def write(self, lines: pa.Table) -> None:
        foreign = set(lines["exchange"].unique().to_pylist()) - {"deribit"}
        if foreign:
            found = ", ".join(sorted(str(name) for name in foreign))
            raise HistoryError(f"{self._path} must be of exchange deribit, was {found}")
        batch = quotes_of(lines)
        self.account.lines += lines.num_rows
        self._bury(batch.refused)
        if batch.quotes.num_rows:
            self._store_quotes(batch)
            self._learn(batch)
            self._hours.touch(batch.exchange_ms.tolist())

    def finish(self) -> TardisAccount:
        self._store_instruments()
        token = f"{_SOURCE}-{self._checksum:08x}-{self.account.quotes}"
        self.account.hours_closed = len(self._hours.close_all("import", token))
        return self.account

    def _store_quotes(self, batch: TardisBatch) -> None:
        count = batch.quotes.num_rows
        received_us = batch.local_us
        if not self._keep_receive_times:
            received_us = np.full(count, self._clock.wall_ns() // 1000, dtype=np.int64)
        text = pa.string()
        columns = {
            "received_ts": pa.array(received_us, _MICROSECONDS),
            "source": pa.repeat(pa.scalar(_SOURCE, text), count),
            "collector": pa.repeat(pa.scalar(self._provenance.collector, text), count),
            "connection_id": pa.repeat(pa.scalar(0, pa.uint32()), count),
            "testnet": pa.repeat(pa.scalar(value=False), count),
        }
        quotes = batch.quotes
        for name, column in columns.items():
            quotes = quotes.append_column(name, column)
        checksums = quotes["content_checksum"].to_numpy().tobytes()
        self._checksum = crc32c.crc32c(checksums, self._checksum)
        # The same lines make the same token, so a piece that is stored is not stored again.
        token = f"{_SOURCE}-{batch.exchange_ms[0]}-{count}-{crc32c.crc32c(checksums):08x}"
        self._store.insert("options_quotes", quotes, token)
        self.account.quotes += count

    def _learn(self, batch: TardisBatch) -> None:
        """Remember the instruments, and whose prices are on the fine ladder."""
        lines = batch.source
        columns = (lines[name].to_pylist() for name in ("symbol", "type", "strike_price"))
        rows = zip(
            *columns, lines["expiration"].to_pylist(), batch.exchange_ms.tolist(), strict=True
        )
        for name, kind, strike, expiration, seen_ms in rows:
            known = self._instruments.get(name)
            newest = seen_ms if known is None else max(seen_ms, known[3])
            self._instruments[name] = (kind, float(strike), int(expiration) // 1000, newest)
        for side in ("bid_price", "ask_price"):
            prices = batch.quotes[side].cast(pa.float64()).to_numpy()
            ticks = prices / _FLAT_TICK
            is_fine = np.abs(ticks - np.rint(ticks)) > 1e-6  # NaN compares as False
            for market in set(batch.quotes["currency"].filter(pa.array(is_fine)).to_pylist()):
                self._fine_markets.add(market)

    def _store_instruments(self) -> None:
        """Store specifications as far as names and prices tell them, as seen at the last quote."""
        if not self._instruments:
            return
        messages = [
            _instrument(name, *known[:3], is_fine=market_of(name) in self._fine_markets)
            for name, known in self._instruments.items()
        ]
        checksums = [
            crc32c.crc32c(f"{it.instrument_name}|{it.tick_size}|{_SOURCE}".encode())
            for it in messages
        ]
        rows = RowList(
            messages=list(messages),
            checksums=checksums,
            received_ns=[known[3] * 1_000_000 for known in self._instruments.values()],
            connection_ids=[0] * len(messages),
            frames=list(range(len(messages))),
        )
        built = build("options_metadata", rows, self._provenance)
        token = f"{_SOURCE}-instruments-{self._checksum:08x}-{len(messages)}"
        self._store.insert("options_metadata", built.columns, token)
        self.account.instruments = len(messages)

    def _bury(self, refused: list[Refused]) -> None:
        if not refused:
            return
        count = len(refused)
        now_us = self._clock.wall_ns() // 1000
        text = pa.string()
        letters = pa.table(
            {
                "received_ts": pa.array([now_us] * count, _MICROSECONDS),
                "channel": pa.repeat(pa.scalar(self._path.name, text), count),
                "reason": pa.repeat(pa.scalar("unreadable_row", text), count),
                "detail": pa.array([it.detail for it in refused], text),
                "raw": pa.array([it.line for it in refused], pa.binary()),
                "collector": pa.repeat(pa.scalar(self._provenance.collector, text), count),
                "segment_id": pa.repeat(pa.scalar(_SOURCE, text), count),
            }
        )
        checksum = crc32c.crc32c(b"\n".join(it.line for it in refused))
        self._store.insert("dead_letters", letters, f"{_SOURCE}-dead-{count}-{checksum:08x}")
        self.account.dead_letters += count


def _instrument(
    name: str, option_type: str, strike: float, expires_ms: int, *, is_fine: bool
) -> Instrument:
    base, _, quote = market_of(name).partition("_")
    premium = quote or base
    steps = [TickSizeStep(_FINE_BELOW, _FLAT_TICK)] if is_fine else []
    return Instrument(
        instrument_name=name,
        kind=str(Kind.OPTION),
        base_currency=base,
        quote_currency=premium,
        contract_size=1.0,
        min_trade_amount=0.1,
        tick_size=_FINE_TICK if is_fine else _FLAT_TICK,
        option_type=option_type,
        strike=strike,
        expiration_timestamp=expires_ms,
        counter_currency=quote or "USD",
        settlement_currency=premium,
        instrument_type="linear" if quote else "reversed",
        price_index=f"{base}_{quote or 'usd'}".lower(),
        tick_size_steps=steps,
        state="open",
    )

"""Content encodings of the HTTP interface, as streams: gzip, deflate, lz4 frames and zstd."""

from __future__ import annotations

import zlib
from typing import Protocol

import lz4.frame
import zstandard

__all__ = ["Decoder", "Encoder", "choose_encoding", "decoder", "encoder"]

ENCODINGS = ("zstd", "lz4", "gzip", "deflate")


class Encoder(Protocol):
    """Compresses a stream piece by piece."""

    def compress(self, data: bytes, /) -> bytes:
        """Return what is ready."""

    def flush(self) -> bytes:
        """Return the rest and end the stream."""


class Decoder(Protocol):
    """Decompresses a stream piece by piece."""

    def decompress(self, data: bytes, /) -> bytes:
        """Return what is ready."""


class _Lz4Encoder:
    def __init__(self) -> None:
        self._compressor = lz4.frame.LZ4FrameCompressor()
        self._head: bytes = self._compressor.begin()

    def compress(self, data: bytes, /) -> bytes:
        head, self._head = self._head, b""
        return bytes(head + self._compressor.compress(data))

    def flush(self) -> bytes:
        head, self._head = self._head, b""
        return bytes(head + self._compressor.flush())


def choose_encoding(accepted: str) -> str:
    """Return the first encoding of an Accept-Encoding header that we speak; empty for none."""
    for item in accepted.split(","):
        name, _, parameters = item.strip().partition(";")
        if name.strip().lower() in ENCODINGS and parameters.replace(" ", "") not in (
            "q=0",
            "q=0.0",
        ):
            return name.strip().lower()
    return ""


def encoder(name: str) -> Encoder:
    """Return a compressor for one of `ENCODINGS`."""
    if name == "zstd":
        return zstandard.ZstdCompressor(level=1).compressobj()
    if name == "lz4":
        return _Lz4Encoder()
    if name == "gzip":
        return zlib.compressobj(3, zlib.DEFLATED, 31)
    if name == "deflate":
        return zlib.compressobj(3)
    raise ValueError(f"encoding must be one of {', '.join(ENCODINGS)}, was {name!r}")


def decoder(name: str) -> Decoder:
    """Return a decompressor for one of `ENCODINGS`."""
    if name == "zstd":
        return zstandard.ZstdDecompressor().decompressobj(read_across_frames=True)
    if name == "lz4":
        return lz4.frame.LZ4FrameDecompressor()  # type: ignore[no-any-return]
    if name == "gzip":
        return zlib.decompressobj(31)
    if name == "deflate":
        return zlib.decompressobj()
    raise ValueError(f"encoding must be one of {', '.join(ENCODINGS)}, was {name!r}")

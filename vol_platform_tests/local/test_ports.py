"""Which port a part gets."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from vol_platform.errors import PortInUseError
from vol_platform.local.ports import HOST, PortChooser, is_free


@pytest.fixture
def taken() -> Iterator[int]:
    """Yield a port that somebody listens on."""
    with socket.socket() as server:
        server.bind((HOST, 0))
        server.listen()
        yield server.getsockname()[1]


def test_a_port_with_a_listener_is_not_free(taken: int) -> None:
    assert not is_free(taken)


def test_a_taken_default_gives_way_to_the_next_free_port_and_says_so(taken: int) -> None:
    chooser = PortChooser()
    port = chooser.choose("the store", taken, None, "--store-port")
    assert port > taken
    assert chooser.notes == [
        f"port {taken} for the store is taken; using {port} (--store-port sets it)"
    ]


def test_a_taken_port_that_was_asked_for_is_an_error_that_names_the_cure(taken: int) -> None:
    with pytest.raises(
        PortInUseError, match=rf"port {taken} for the store is in use.*--store-port"
    ):
        PortChooser().choose("the store", 8123, taken, "--store-port")


def test_no_port_is_given_twice() -> None:
    chooser = PortChooser()
    first = chooser.choose("one", 21000, None, "--one")
    second = chooser.choose("two", 21000, None, "--two")
    assert first != second
    with pytest.raises(PortInUseError):
        chooser.choose("three", 1, second, "--three")


def test_the_offset_moves_defaults_only(taken: int) -> None:
    chooser = PortChooser(offset=100)
    assert chooser.choose("one", 21000, None, "--one") >= 21100


def test_a_port_that_browsers_refuse_is_passed_over() -> None:
    chooser = PortChooser(offset=3000)
    assert chooser.choose("Dagster", 3000, None, "--dagster-port") != 6000
    assert "6000" in chooser.notes[0]

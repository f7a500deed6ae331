"""What `platform_state` says is understood in every form that was ever reported."""

from __future__ import annotations

import msgspec
import pytest

from streamer.deribit.platform import lock_of


@pytest.mark.parametrize(
    ("state", "lock"),
    [
        ({"price_index": "btc_usd", "locked": True}, ("btc_usd", True)),
        ({"maintenance": True}, ("*", True)),
        ({"maintenance": False}, ("*", False)),
        ({"price_index": "eth_usd", "locked": "false"}, ("eth_usd", False)),
        ({"price_index": "eth_usd", "locked": "partial"}, ("eth_usd", True)),
        ({"allow_unauthenticated_public_requests": False}, None),
        ([1], None),
    ],
)
def test_every_form_of_platform_state_is_understood(state, lock):
    assert lock_of(msgspec.json.encode(state)) == lock


def test_bytes_that_are_no_text_say_nothing():
    assert lock_of(b'{"price_index":"\xff"}') is None

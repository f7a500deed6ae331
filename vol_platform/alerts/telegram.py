"""Delivery to Telegram: one `sendMessage` per chat of the allow-list.

The bot's token is part of the address that Telegram wants, so everything here that could print an
address is kept from doing so: httpx's own log lines are redacted, and errors are ours.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cache

import httpx
import stamina
import structlog

from vol_platform.alerts.messages import Alert
from vol_platform.errors import AlertError, SettingsError
from vol_platform.settings import Settings, TelegramSettings

__all__ = ["notify"]

_ATTEMPTS = 4
_TIMEOUT_SECONDS = 10.0
_LONGEST_WAIT_SECONDS = 30.0

_log = structlog.get_logger(__name__)


class _TransientError(Exception):
    """A refusal that may pass; `wait_seconds` is what the other side asked for, if it did."""

    def __init__(self, reason: str, wait_seconds: float | None = None) -> None:
        super().__init__(reason)
        self.wait_seconds = wait_seconds


class _Redaction(logging.Filter):
    """Replaces known secrets in log records; httpx logs every address at level INFO."""

    def __init__(self) -> None:
        super().__init__()
        self.secrets: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        if any(secret in text for secret in self.secrets):
            for secret in self.secrets:
                text = text.replace(secret, "***")
            record.msg, record.args = text, ()
        return True


_redaction = _Redaction()
for _name in ("httpx", "httpcore.http11", "httpcore.connection"):
    logging.getLogger(_name).addFilter(_redaction)


def notify(
    settings: Settings, alert: Alert, *, chat_ids: Sequence[int] | None = None
) -> tuple[int, ...]:
    """Send an alert to the chats of the allow-list, or to some of them.

    Transient refusals (network, 429, 5xx) are tried again with growing waits, or after the wait
    that Telegram asks for; others are not.

    Parameters
    ----------
    settings
        `settings.telegram`: token, allow-list of chats, address of the Bot API.
    alert
        What to say.
    chat_ids
        A part of ``settings.telegram.chat_ids``; None is all of it.

    Returns
    -------
    tuple of int
        The chats that got it.  Empty when no token or no chat is configured, which the log says
        once.

    Raises
    ------
    SettingsError
        A chat is not in the allow-list.
    AlertError
        At least one chat did not get it; the others did.  The text names each with the reason.
    """
    telegram = settings.telegram
    wanted = telegram.chat_ids if chat_ids is None else tuple(chat_ids)
    strangers = [chat for chat in wanted if chat not in telegram.chat_ids]
    if strangers:
        msg = (
            f"chat {strangers[0]} is not allowed; add it to VOL_TELEGRAM__CHAT_IDS if it should be"
        )
        raise SettingsError(msg)
    if not telegram.token or not wanted:
        _say_once("chat_ids" if telegram.token else "token")
        return ()

    _redaction.secrets.add(telegram.token.get_secret_value())
    delivered = []
    failures = []
    with httpx.Client(timeout=_TIMEOUT_SECONDS) as client:
        for chat in wanted:
            try:
                _send(client, telegram, chat, alert.message())
            except (AlertError, _TransientError) as error:
                failures.append(f"chat {chat}: {error}")
            else:
                delivered.append(chat)
    if failures:
        msg = f"alert {alert.key} did not reach {'; '.join(failures)} (delivered to {delivered})"
        raise AlertError(msg)
    return tuple(delivered)


@cache
def _say_once(missing: str) -> None:
    _log.warning(
        "alerts are not sent: Telegram is not configured",
        cure=f"set VOL_TELEGRAM__{missing.upper()}",
    )


def _wanted_wait(error: Exception) -> bool | float:
    """Tell stamina whether to try again, and after how long if the other side said so."""
    if not isinstance(error, _TransientError):
        return False
    if error.wait_seconds is None:
        return True
    return min(error.wait_seconds, _LONGEST_WAIT_SECONDS)


def _send(client: httpx.Client, telegram: TelegramSettings, chat: int, text: str) -> None:
    for attempt in stamina.retry_context(
        on=_wanted_wait, attempts=_ATTEMPTS, wait_initial=0.2, wait_max=5.0, timeout=60.0
    ):
        with attempt:
            _send_once(client, telegram, chat, text)


def _send_once(client: httpx.Client, telegram: TelegramSettings, chat: int, text: str) -> None:
    address = f"{telegram.base_url}{telegram.token.get_secret_value()}/sendMessage"
    body = {"chat_id": chat, "text": text, "disable_web_page_preview": True}
    try:
        response = client.post(address, json=body)
    except httpx.HTTPError as error:
        # httpx keeps the request, and so the token, on its exceptions: nothing of it may travel on.
        raise _TransientError(f"no answer ({type(error).__name__})") from None
    except httpx.InvalidURL:
        raise AlertError("the address is not valid; correct VOL_TELEGRAM__BASE_URL") from None
    if response.is_success:
        return
    reason, wait_seconds = _refusal(response)
    if response.status_code == httpx.codes.TOO_MANY_REQUESTS or response.is_server_error:
        raise _TransientError(reason, wait_seconds)
    cure = {401: "VOL_TELEGRAM__TOKEN", 404: "VOL_TELEGRAM__TOKEN", 403: "the chat's block list"}
    raise AlertError(f"{reason}; check {cure.get(response.status_code, 'VOL_TELEGRAM__CHAT_IDS')}")


def _refusal(response: httpx.Response) -> tuple[str, float | None]:
    """Read Telegram's reason and the wait that it asks for (``parameters.retry_after``, s)."""
    reason = f"HTTP {response.status_code}"
    try:
        answer = response.json()
    except ValueError:
        return reason, None
    if not isinstance(answer, dict):
        return reason, None
    parameters = answer.get("parameters")
    wait = parameters.get("retry_after") if isinstance(parameters, dict) else None
    description = answer.get("description")
    return (
        f"{reason} {description}" if isinstance(description, str) else reason,
        float(wait) if isinstance(wait, int | float) else None,
    )

"""The exchange's error replies (JSON-RPC and Deribit codes)."""

from __future__ import annotations

from typing import Any

__all__ = [
    "RpcError",
    "invalid_params",
    "method_not_found",
    "too_many_requests",
]


class RpcError(Exception):
    """A call is answered with an error.

    Parameters
    ----------
    code, message
        As the exchange writes them.
    data
        Further detail, or None for no `data` key.
    closes
        The exchange ends the session after the reply.
    """

    def __init__(
        self, code: int, message: str, data: dict[str, Any] | None = None, *, closes: bool = False
    ) -> None:
        super().__init__(f"{message} ({code})")
        self.code = code
        self.message = message
        self.data = data
        self.closes = closes

    def body(self) -> dict[str, Any]:
        """Return the `error` object of the reply."""
        body: dict[str, Any] = {"message": self.message}
        if self.data is not None:
            body["data"] = self.data
        body["code"] = self.code
        return body


def invalid_params(parameter: str, reason: str) -> RpcError:
    """Return -32602 for one parameter."""
    return RpcError(-32602, "Invalid params", {"reason": reason, "param": parameter})


def method_not_found() -> RpcError:
    """Return -32601."""
    return RpcError(-32601, "Method not found")


def too_many_requests(*, closes: bool = True) -> RpcError:
    """Return 10028; on a socket the session ends with it."""
    return RpcError(10028, "too_many_requests", {"reason": "rate limit"}, closes=closes)

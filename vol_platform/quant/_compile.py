"""How the numeric kernels are compiled, and where and how long compiled code is kept."""

from __future__ import annotations

import builtins
import dis
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba import njit, types

__all__ = ["kernel"]


def _helpers(function: Callable[..., Any], found: set[Callable[..., Any]]) -> None:
    """Add every compiled function that `function` calls, directly or not, to `found`.

    Raises
    ------
    NameError
        It uses a name of its module that is not defined yet: what that is cannot be told.
    """
    for name in {it.argval for it in dis.get_instructions(function) if it.opname == "LOAD_GLOBAL"}:
        if name not in function.__globals__ and not hasattr(builtins, name):
            msg = (
                f"kernel {function.__name__} uses {name}, which is not defined above it; "
                "define helpers first, so that stored code follows their changes"
            )
            raise NameError(msg)
        helper = getattr(function.__globals__.get(name), "py_func", None)
        if helper is not None and helper not in found:
            found.add(helper)
            _helpers(helper, found)


def _stamp(function: Callable[..., Any]) -> str:
    """Digest of the source files of all the helpers of a kernel."""
    found: set[Callable[..., Any]] = set()
    _helpers(function, found)
    digest = hashlib.sha256()
    for path in sorted({helper.__code__.co_filename for helper in found}):
        digest.update(Path(path).read_bytes())
    return digest.hexdigest()


def _without_literals(compiled: Any) -> Any:
    """Make calls from other kernels compile one version per type, not one per constant argument.

    Numba types a constant argument as a literal and then compiles the callee again for each value:
    the joint fit had six copies of its cost function that way, and twice the compile time.
    """
    call_template = compiled.get_call_template
    unliteral: Callable[[Any], Any] = types.unliteral

    def get_call_template(args: tuple[Any, ...], kws: dict[str, Any]) -> Any:
        plain = {name: unliteral(kind) for name, kind in kws.items()}
        return call_template(tuple(map(unliteral, args)), plain)

    compiled.get_call_template = get_call_template
    return compiled


def kernel(function: Callable[..., Any]) -> Any:
    """Compile a kernel on first call and keep the machine code on disk.

    Numba stores it in ``__pycache__`` beside the module, or in the user's cache folder when the
    package is read-only, or in ``NUMBA_CACHE_DIR`` when set.  Where none can be written (a
    container without a home) the kernel still works, compiled anew in each process.

    Numba forgets stored code when the kernel's own file changes, but not when a helper in another
    file does.  Ours also carries a digest of its helpers' files, so that an old helper can never be
    left inside a new release.

    Division follows IEEE 754 (a zero divisor gives inf or NaN instead of raising), which is what
    lets loops vectorise.  No other liberty is taken with floating point.
    """
    try:
        compiled: Any = njit(cache=True, error_model="numpy", nogil=True)(function)
    except RuntimeError:  # no folder to keep it in
        return _without_literals(njit(cache=False, error_model="numpy", nogil=True)(function))
    index = compiled._cache._cache_file  # noqa: SLF001 - numba offers no public way to the stamp
    index._source_stamp = (index._source_stamp, _stamp(function))  # noqa: SLF001 - likewise
    return _without_literals(compiled)

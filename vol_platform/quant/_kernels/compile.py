"""How the numeric kernels are compiled, and where and how long compiled code is kept."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from numba import njit, types
from numba.core.caching import FunctionCache, NullCache
from numba.core.runtime.nrt import rtsys

__all__ = ["kernel"]


@cache
def _helpers(function: Callable[..., Any]) -> frozenset[Callable[..., Any]]:
    """Every compiled function that `function` calls, directly or not."""
    found: set[Callable[..., Any]] = set()
    for name in function.__code__.co_names:
        helper = getattr(function.__globals__.get(name), "py_func", None)
        if helper is not None and helper is not function:
            found |= {helper, *_helpers(helper)}
    return frozenset(found)


@cache
def _digest(path: str) -> bytes:
    """Digest of a source file."""
    return hashlib.sha256(Path(path).read_bytes()).digest()


def _stamp(function: Callable[..., Any]) -> str:
    """Digest of the source files of all the helpers of a kernel."""
    files = sorted({helper.__code__.co_filename for helper in _helpers(function)})
    return hashlib.sha256(b"".join(map(_digest, files))).hexdigest()


class _Store:
    """Compiled code of one kernel on disk.

    Nothing is read before the first call of the kernel: of some ninety kernels a first surface
    calls seven from Python, and the stored code of these holds all the others.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    @cached_property
    def _files(self) -> Any:
        try:
            files: Any = FunctionCache(self._function)  # type: ignore[no-untyped-call]  # numba has no types
        except RuntimeError:  # no folder to keep it in
            return NullCache()
        index = files._cache_file  # noqa: SLF001 - numba offers no public way to the stamp
        index._source_stamp = (index._source_stamp, _stamp(self._function))  # noqa: SLF001 - likewise
        return files

    @property
    def cache_path(self) -> Any:
        """Folder of the files; None where there is none."""
        return self._files.cache_path

    def load_overload(self, signature: Any, target_context: Any) -> Any:
        """Compiled code of a signature, None when there is none."""
        if isinstance(self._files, NullCache):
            return None
        # Numba would first set up all it needs for compiling, which takes longer than the loading.
        # Loaded code needs its memory management only; a compilation sets up the rest itself.
        rtsys.initialize(target_context)
        return self._files._load_overload(signature, target_context)  # noqa: SLF001 - without that

    def save_overload(self, signature: Any, compiled: Any) -> None:
        """Keep compiled code."""
        self._files.save_overload(signature, compiled)

    def flush(self) -> None:
        """Forget what is kept, as `Dispatcher.recompile` asks."""
        self._files.flush()


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
    compiled: Any = njit(error_model="numpy", nogil=True)(function)
    compiled._cache = _Store(function)  # noqa: SLF001 - `cache=True` would touch the disk at import
    return _without_literals(compiled)

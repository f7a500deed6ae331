"""Cold start: lean import, compiled code kept on disk, and what happens where none can be kept."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from vol_platform.quant import _black_kernels, _compile, _greeks_kernel

REPOSITORY = Path(__file__).resolve().parents[2]


def run(code: str, **variables: str) -> str:
    """Run code in a fresh interpreter of this repository."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), **variables}  # noqa: TID251 - child process
    result = subprocess.run(
        [sys.executable, "-c", code],
        env=environment, capture_output=True, text=True, timeout=240, check=True,
    )  # fmt: skip
    return result.stdout


def test_importing_the_package_imports_no_numerics() -> None:
    out = run(
        "import sys, vol_platform.quant\n"
        "print(sorted({'numba', 'scipy', 'polars'} & set(sys.modules)))"
    )
    assert out.strip() == "[]"


@pytest.mark.slow
def test_a_kernel_is_stored_and_loaded_and_not_compiled_twice(tmp_path: Path) -> None:
    code = (
        "from vol_platform.quant import black76, _black_kernels as b\n"
        "print(float(black76.price(100.0, 110.0, 0.5, 0.5, True)))\n"
        "s = b.price_kernel.stats\n"
        "print(sum(s.cache_hits.values()), sum(s.cache_misses.values()))\n"
    )
    first = run(code, NUMBA_CACHE_DIR=str(tmp_path)).split()
    second = run(code, NUMBA_CACHE_DIR=str(tmp_path)).split()
    assert first[1:] == ["0", "1"]
    assert second[1:] == ["1", "0"]
    assert first[0] == second[0]


def test_the_stamp_of_a_kernel_covers_its_helpers() -> None:
    helpers: set = set()
    _compile._helpers(_black_kernels.implied_vol_kernel.py_func, helpers)
    names = {helper.__name__ for helper in helpers}
    assert {"log_of_parts", "erfcx_series_quotient", "householder_step"} <= names
    files = {Path(helper.__code__.co_filename).name for helper in helpers}
    assert "_vector_math.py" in files
    assert _compile._stamp(_black_kernels.price_kernel.py_func) == _compile._stamp(
        _black_kernels.price_kernel.py_func
    )


def test_a_kernel_above_its_helper_is_refused_for_its_stored_code_would_grow_old() -> None:
    source = "def early(x):\n    return late(x)\n"
    namespace: dict = {}
    exec(source, namespace)  # noqa: S102 - a module in which the helper comes later
    with pytest.raises(NameError, match="kernel early uses late, which is not defined above it"):
        _compile._helpers(namespace["early"], set())


def test_without_a_folder_to_keep_it_a_kernel_still_works(monkeypatch: pytest.MonkeyPatch) -> None:
    real = _compile.njit

    def no_folder(*arguments, cache=False, **options):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return real(*arguments, cache=False, **options)

    monkeypatch.setattr(_compile, "njit", no_folder)

    def double(values):
        return values * 2.0

    assert _compile.kernel(double)(np.ones(3)).tolist() == [2.0, 2.0, 2.0]


@pytest.mark.parametrize(
    "kernel",
    [_black_kernels.price_kernel, _black_kernels.implied_vol_kernel, _greeks_kernel.greeks_kernel],
)
def test_kernels_are_free_of_calls_into_the_c_library_in_their_vector_loops(kernel) -> None:
    # math.log and math.exp may appear only in the bracketed iteration of implied_vol_kernel
    names = set(kernel.py_func.__code__.co_names)
    assert not names & {"erfc", "log1p"}
    assert "math" in names

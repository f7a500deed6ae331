"""Cold start: lean import, compiled code kept on disk, and what happens where none can be kept."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from vol_platform.quant._kernels import black, greeks
from vol_platform.quant._kernels import compile as compiling

REPOSITORY = Path(__file__).resolve().parents[3]


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
        "from vol_platform.quant import black76\n"
        "from vol_platform.quant._kernels import black as b\n"
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
    helpers = compiling._helpers(black.implied_vol_kernel.py_func)
    names = {helper.__name__ for helper in helpers}
    assert {"log_of_parts", "erfcx_series_quotient", "householder_step"} <= names
    files = {Path(helper.__code__.co_filename).name for helper in helpers}
    assert "vector_math.py" in files


def test_the_stamp_follows_a_helper_in_another_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stamps = []
    for text in ("def helper(x):\n    return x\n", "def helper(x):\n    return x + 1.0\n"):
        file = tmp_path / "helper.py"
        file.write_text(text)
        namespace: dict = {}
        exec(compile(text, str(file), "exec"), namespace)  # noqa: S102 - a module of the test

        class Compiled:
            py_func = staticmethod(namespace["helper"])

        caller: dict = {"helper": Compiled}
        exec("def entry(x):\n    return helper(x)\n", caller)  # noqa: S102 - likewise
        compiling._digest.cache_clear()
        stamps.append(compiling._stamp(caller["entry"]))
    assert stamps[0] != stamps[1]


def test_a_fit_imports_neither_polars_nor_the_parts_of_scipy() -> None:
    run("from vol_platform.quant import warm_up\nwarm_up()")  # a compiler would import them
    out = run(
        "import sys\n"
        "from vol_platform.quant import warm_up\n"
        "warm_up()\n"
        "print(sorted({'polars', 'scipy.linalg', 'scipy.optimize', 'scipy.special'}\n"
        "             & set(sys.modules)))"
    )
    assert out.strip() == "[]"


def test_after_a_warm_up_nothing_is_left_to_compile() -> None:
    """Quotes that contradict each other take every way a live board can take."""
    out = run(
        "import importlib, pkgutil\n"
        "from vol_platform import quant\n"
        "from vol_platform.quant import surface\n"
        "from vol_platform_tests.quant.boards import synthetic_frame\n"
        "modules = [importlib.import_module(found.name)\n"
        "           for found in pkgutil.walk_packages(quant.__path__, 'vol_platform.quant.')]\n"
        "def compiled():\n"
        "    return {f'{kernel.py_func.__module__}.{kernel.py_func.__name__}'\n"
        "            for module in modules for kernel in vars(module).values()\n"
        "            if hasattr(kernel, 'py_func') for signature in kernel.signatures}, sum(\n"
        "            len(kernel.signatures) for module in modules\n"
        "            for kernel in vars(module).values() if hasattr(kernel, 'py_func'))\n"
        "quant.warm_up()\n"
        "before = compiled()\n"
        "previous = None\n"
        "for noise in (0.5, 6.0, 0.9):\n"
        "    board = surface.Board.from_frame(synthetic_frame(noise=noise))\n"
        "    previous = surface.calibrate(board, previous=previous)\n"
        "    previous.report\n"
        "    previous.iv(0.1, [60_000.0, 70_000.0])\n"
        "    previous.delta_strike(0.1, 0.25)\n"
        "print(sorted(compiled()[0] - before[0]), compiled()[1] - before[1])\n"
    )
    assert out.strip() == "[] 0"


def test_importing_a_kernel_touches_no_file_of_compiled_code(tmp_path: Path) -> None:
    run("from vol_platform.quant import surface", NUMBA_CACHE_DIR=str(tmp_path / "kept"))
    assert not (tmp_path / "kept").exists()


def test_without_a_folder_to_keep_it_a_kernel_still_works(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_folder(function):
        raise RuntimeError("cannot cache function: no locator available")

    monkeypatch.setattr(compiling, "FunctionCache", no_folder)

    def double(values):
        return values * 2.0

    compiled = compiling.kernel(double)
    assert compiled(np.ones(3)).tolist() == [2.0, 2.0, 2.0]
    assert compiled.stats.cache_path is None
    compiled.recompile()
    assert compiled(np.ones(3)).tolist() == [2.0, 2.0, 2.0]


@pytest.mark.parametrize(
    "kernel",
    [black.price_kernel, black.implied_vol_kernel, greeks.greeks_kernel],
)
def test_kernels_are_free_of_calls_into_the_c_library_in_their_vector_loops(kernel) -> None:
    # math.log and math.exp may appear only in the bracketed iteration of implied_vol_kernel
    names = set(kernel.py_func.__code__.co_names)
    assert not names & {"erfc", "log1p"}
    assert "math" in names

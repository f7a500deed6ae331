"""The process of a collector holds nothing that it does not need."""

from __future__ import annotations

import subprocess
import sys

from vol_platform_tests.conftest import REPOSITORY

CODE = """
import sys
import pyarrow as pa
from streamer.main import main
from streamer.process import tune_process

tune_process()
assert pa.array([1.5, None]).null_count == 1
assert "pandas" not in sys.modules
frame = pa.table({"a": [1, 2]}).to_pandas()
assert list(frame["a"]) == [1, 2]
assert "pandas" in sys.modules
tune_process()
assert pa.array(frame["a"]).to_pylist() == [1, 2]
"""


def test_pandas_is_not_imported_for_a_column_and_is_there_for_whoever_wants_a_frame():
    done = subprocess.run(
        [sys.executable, "-c", CODE], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr

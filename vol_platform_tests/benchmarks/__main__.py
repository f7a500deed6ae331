"""Print the bar table (`bar`), or run the benchmarks named on the command line.

Options after a name go to that benchmark: ``backfill --days 30``.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from itertools import takewhile

from vol_platform_tests import benchmarks


def main(wanted: list[str]) -> None:
    """Call ``main`` of the named public modules here, by default of `bar`."""
    names = sorted(
        module.name
        for module in pkgutil.iter_modules(benchmarks.__path__)
        if not module.name.startswith("_")
    )
    words = list(takewhile(lambda word: not word.startswith("-"), wanted))
    options = wanted[len(words) :]
    if options and len(words) != 1:
        raise SystemExit("options belong behind the name of exactly one benchmark")
    wanted = words
    unknown = sorted(set(wanted) - set(names))
    if unknown:
        raise SystemExit(f"no benchmark named {', '.join(unknown)}; there are {', '.join(names)}")
    for name in wanted or ["bar"]:
        importlib.import_module(f"{benchmarks.__name__}.{name}").main(
            *([options] if options else [])
        )


if __name__ == "__main__":
    main(sys.argv[1:])

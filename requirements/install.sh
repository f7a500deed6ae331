#!/bin/sh
# install.sh venv | runtime | dev: the set-up behind `make`; quiet when it works, pip's words when not.
set -eu
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-python3}
VENV=${VENV:-.venv}

quietly() { # what-it-does command…
    what=$1
    shift
    log="$VENV/install.log"
    if ! "$@" > "$log" 2>&1; then
        echo "Set-up failed while it $what; the end of $log:" >&2
        tail -n 25 "$log" >&2
        exit 1
    fi
}

case "${1:-}" in
venv)
    if ! "$PYTHON" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))'; then
        found=$("$PYTHON" --version 2>&1 || true)
        echo "vol-platform needs Python 3.11, 3.12 or 3.13, was '$found' ($PYTHON);" \
            "name another one: make PYTHON=python3.13 …" >&2
        exit 1
    fi
    mkdir -p "$VENV"
    quietly "made the virtual environment $VENV" "$PYTHON" -m venv "$VENV"
    ;;
runtime | dev)
    echo "Setting up $VENV from requirements/$1.txt (once; about a minute from a warm pip cache) …"
    # Byte code is written when a module is first used: compiling everything up front doubles the time.
    # First what the maths needs, which is then compiled while the rest is installed.
    awk '/^[a-z0-9]/ { keep = $0 ~ /^(numpy|scipy|numba|llvmlite|polars|polars-runtime-32)==/ } keep' \
        "requirements/$1.txt" > "$VENV/maths.txt"
    quietly "installed numpy, scipy, numba and polars" "$VENV/bin/python" -m pip install --no-input \
        --no-compile --disable-pip-version-check --no-deps --require-hashes -r "$VENV/maths.txt"
    "$VENV/bin/python" -m vol_platform.local.kernels > "$VENV/kernels.log" 2>&1 &
    quietly "installed requirements/$1.txt" "$VENV/bin/python" -m pip install --no-input --no-compile \
        --disable-pip-version-check --no-deps --require-hashes -r "requirements/$1.txt"
    quietly "installed the project itself" "$VENV/bin/python" -m pip install --no-input --no-compile \
        --disable-pip-version-check --no-deps --no-build-isolation -e .
    ;;
*)
    echo "usage: install.sh venv|runtime|dev" >&2
    exit 2
    ;;
esac

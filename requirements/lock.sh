#!/bin/sh
# lock.sh: resolve requirements/*.txt again from pyproject.toml, with hashes and without addresses.
set -eu
cd "$(dirname "$0")/.."
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
"${PYTHON:-python3}" -m venv "$scratch"
"$scratch/bin/python" -m pip install --quiet --disable-pip-version-check uv

compile() { # output option…
    output=$1
    shift
    "$scratch/bin/uv" pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes \
        --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" --output-file "$output" "$@"
}

# The dev lock first; the runtime lock is then held to the same versions, so that one is a subset of the other.
compile requirements/dev.txt --extra dev
compile requirements/runtime.txt --extra embedded --extra build --constraint requirements/dev.txt
# What a container needs: servers instead of the embedded engines, Postgres for Dagster.
compile requirements/deploy.txt --extra deploy --extra build --constraint requirements/dev.txt

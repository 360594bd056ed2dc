#!/usr/bin/env bash
# Pins every dependency with hashes for all supported Python versions. The lock files name no package index.
set -euo pipefail
command -v uv >/dev/null || { echo "make lock needs uv: pip install uv" >&2; exit 2; }
common=(--universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate --quiet)
uv pip compile "${common[@]}" pyproject.toml -o requirements.lock
uv pip compile "${common[@]}" pyproject.toml --extra console --extra dask --group dev -c requirements.lock -o requirements-dev.lock
uv pip compile "${common[@]}" pyproject.toml --extra console --extra dask --group dev --group bench -c requirements-dev.lock -o requirements-bench.lock
uv pip compile "${common[@]}" pyproject.toml --extra console --extra dask --group dev --group fuzz -c requirements-dev.lock -o requirements-fuzz.lock

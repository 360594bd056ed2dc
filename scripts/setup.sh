#!/usr/bin/env bash
# Creates the virtual environment from the lock file (with hashes, by plain pip), and installs this checkout's `tocsin`.
set -euo pipefail
venv=${1:?usage: setup.sh VENV}
python=${PYTHON:-python3}
"$python" - <<'PY' || exit 2
import sys
if sys.version_info < (3, 11):
    sys.exit(f"Tocsin needs Python 3.11 or newer; this is {sys.version.split()[0]}. Set PYTHON=/path/to/python3.11 and run make again.")
PY
echo "creating $venv from requirements-dev.lock" >&2
"$python" -m venv --clear "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock 2> >(grep -v '^WARNING: Location' >&2)
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --no-index -e .
# readers run where they can write nothing: without this each start of them would compile a hundred modules
"$venv/bin/python" -m compileall -q "$PWD"/{crawler,data,scheduler,spiders}
echo "compiling the matching kernels (only the first time on this machine)" >&2
"$venv/bin/python" -m crawler.examiner.kernel_warmup

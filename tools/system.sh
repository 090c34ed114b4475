#!/usr/bin/env bash
# tools/system.sh [servers|fuzz]: sees to what the build needs from the system (compiler, pkg-config, headers of libuv,
# zlib, brotli, zstd and Python, venv), and with "servers" to the programs that the tests start. Installs what is
# missing when it may (root on Debian or Ubuntu), otherwise says in one line what to install. PYTHON names the
# interpreter (default python3). Asks apt-get for nothing when all is there.
set -euo pipefail

python=${PYTHON:-python3}
wanted=${1-}
PATH=$PATH:/usr/sbin # where mosquitto and rabbitmq-server are

# Prints the Debian packages that are missing, one a line.
missing() {
    command -v "${CC:-gcc}" >/dev/null || echo gcc libc6-dev
    command -v "${PKG_CONFIG:-pkg-config}" >/dev/null || echo pkg-config
    "${PKG_CONFIG:-pkg-config}" --exists 'libuv >= 1.43' 2>/dev/null || echo libuv1-dev
    "${PKG_CONFIG:-pkg-config}" --exists zlib 2>/dev/null || echo zlib1g-dev
    "${PKG_CONFIG:-pkg-config}" --exists libbrotlidec 2>/dev/null || echo libbrotli-dev
    "${PKG_CONFIG:-pkg-config}" --exists 'libzstd >= 1.4' 2>/dev/null || echo libzstd-dev
    "$python" -c 'import ensurepip, venv' 2>/dev/null || echo python3 python3-venv
    "$python" - 2>/dev/null <<'EOF' || echo python3-dev
import os, sys, sysconfig
sys.exit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))
EOF
    if [ "$wanted" = fuzz ]; then
        command -v "${CLANG:-clang}" >/dev/null || echo clang libclang-rt-dev
    fi
    [ "$wanted" = servers ] || return 0
    ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null || echo postgresql
    for server in redis-server mosquitto rabbitmq-server; do
        command -v "$server" >/dev/null || echo "$server"
    done
    command -v nginx >/dev/null || echo nginx-light
    command -v tinyproxy >/dev/null || echo tinyproxy-bin
    command -v microsocks >/dev/null || echo microsocks
    command -v danted >/dev/null || echo dante-server
    command -v openssl >/dev/null || echo openssl
    ls /usr/lib/*/faketime/libfaketimeMT.so.1 >/dev/null 2>&1 || echo faketime
}

need=$(missing | tr '\n' ' ')
[ -z "$need" ] && exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "uvolt: installing $need"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    # shellcheck disable=SC2086  # one word a package
    apt-get install -y -qq --no-install-recommends $need >/dev/null
    need=$(missing | tr '\n' ' ')
    [ -z "$need" ] && exit 0
    echo "uvolt: $python still lacks: $need(is it a Python of the system's packages?)" >&2
    exit 1
fi

if command -v apt-get >/dev/null; then
    echo "uvolt: install what is missing first: sudo apt install $need" >&2
elif command -v dnf >/dev/null; then
    servers=${wanted:+ postgresql-server redis mosquitto rabbitmq-server nginx tinyproxy dante-server}
    echo "uvolt: install what is missing first: sudo dnf install gcc pkgconf libuv-devel zlib-devel brotli-devel libzstd-devel python3-devel$servers" >&2
elif command -v brew >/dev/null; then
    servers=${wanted:+ postgresql redis mosquitto rabbitmq nginx}
    echo "uvolt: install what is missing first: brew install pkgconf libuv zlib brotli zstd python$servers" >&2
else
    echo "uvolt: install first: a C compiler, pkg-config, libuv >= 1.43, zlib, brotli, zstd and Python >= 3.10, with their headers${wanted:+; and PostgreSQL, Redis, mosquitto, RabbitMQ, nginx, tinyproxy, microsocks, Dante}" >&2
fi
exit 1

#!/usr/bin/env bash
# tools/sanitize.sh COMMAND...: runs COMMAND with the address and undefined-behaviour sanitizers loaded, as a library
# built with UVOLT_ASAN=1 needs. Child processes inherit all of it. Leaks are not reported: CPython keeps many
# objects to the end by design, and uvolt's own are counted by its tests.
set -euo pipefail

cc=${CC:-gcc}
LD_PRELOAD="$("$cc" -print-file-name=libasan.so) $("$cc" -print-file-name=libubsan.so)"
export LD_PRELOAD
export PYTHONMALLOC=malloc
export ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1:detect_stack_use_after_return=1
export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
exec "$@"

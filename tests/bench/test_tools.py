"""What the runner reads from other programs: callgrind, strace, wrk."""

from __future__ import annotations

import pytest

from benchmarks import drivers, instructions, system
from benchmarks.process import ChildError

STRACE = """\
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 51.28    0.006320           6      1000           sendto
 48.43    0.005969           5      1010         2 recvfrom
  0.29    0.000036           0       120           epoll_wait
------ ----------- ----------- --------- --------- ----------------
100.00    0.012325           5      2130         2 total
"""

WRK = """\
Running 1s test @ https://127.0.0.1:1/
  1 threads and 10 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   291.21us  505.32us   9.09ms   97.95%
    Req/Sec    38.12k     3.98k   40.36k    90.91%
  Latency Distribution
     50%  224.00us
     75%  273.00us
     90%    1.21ms
     99%    2.66ms
  41712 requests in 1.10s, 4.30MB read
Requests/sec:  37935.42
Transfer/sec:      3.91MB
"""


def test_strace_table() -> None:
    assert instructions.parse_strace(STRACE) == {
        "sendto": 1000,
        "recvfrom": 1010,
        "epoll_wait": 120,
    }
    assert instructions.parse_strace("") == {}


def test_callgrind_total() -> None:
    text = "==1== Events    : Ir\n==1== Collected : 123456789\n==1==\n"
    assert instructions.parse_callgrind(text) == 123456789
    with pytest.raises(ChildError, match="cannot execute"):
        instructions.parse_callgrind("valgrind: cannot execute\n")


def test_wrk() -> None:
    sample = drivers.parse_wrk(WRK, "", 0.5)
    assert sample.value == pytest.approx(0.5e9 / 41712)
    assert sample.rate == 37935.42
    assert sample.extra == {"p50_us": 224.0, "p90_us": 1210.0, "p99_us": 2660.0}


def test_wrk_failures() -> None:
    with pytest.raises(ChildError, match="unable to connect"):
        drivers.parse_wrk("", "unable to connect to 127.0.0.1:1\n", 0.1)
    with pytest.raises(ChildError, match="3 responses were not 200"):
        drivers.parse_wrk(WRK + "  Non-2xx or 3xx responses: 3\n", "", 0.1)


def test_what_is_missing_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system.os, "geteuid", lambda: 1000)
    monkeypatch.setattr(system, "_has_libuv", lambda: False)
    monkeypatch.setattr(system.shutil, "which", lambda name: None if name == "wrk" else name)
    note = system.install(counts=True)
    assert note.endswith("install first: sudo apt install wrk libuv1-dev")
    assert "\n" not in note


def test_nothing_is_installed_when_all_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system.os, "geteuid", lambda: 0)
    monkeypatch.setattr(system, "_has_libuv", lambda: True)
    monkeypatch.setattr(system.shutil, "which", lambda name: name)
    monkeypatch.setattr(system.subprocess, "run", None)
    assert system.install(counts=True) == ""

"""What the runner reads from other programs: callgrind, strace."""

from __future__ import annotations

import pytest

from benchmarks import instructions, system
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


def test_what_is_missing_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system.os, "geteuid", lambda: 1000)
    monkeypatch.setattr(system, "_has_headers", lambda library: False)
    monkeypatch.setattr(system.shutil, "which", lambda name: None if name == "gcc" else name)
    note = system.install(counts=True)
    assert note.endswith("install first: sudo apt install gcc libuv1-dev libssl-dev")
    assert "\n" not in note


def test_nothing_is_installed_when_all_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system.os, "geteuid", lambda: 0)
    monkeypatch.setattr(system, "_has_headers", lambda library: True)
    monkeypatch.setattr(system.shutil, "which", lambda name: name)
    monkeypatch.setattr(system.subprocess, "run", None)
    assert system.install(counts=True) == ""

"""The event loops that are compared, by name: factory, distribution, version."""

from __future__ import annotations

import asyncio
import importlib
import platform
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata


@dataclass(frozen=True)
class LoopPeer:
    name: str
    module: str  # what has to be importable
    distribution: str  # what pip calls it; "" for the standard library
    base: str  # the loop that runs the callbacks
    note: str = ""


LOOPS: dict[str, LoopPeer] = {
    peer.name: peer
    for peer in (
        LoopPeer("uvolt", "uvolt", "uvolt", "uvolt"),
        LoopPeer("uvloop", "uvloop", "uvloop", "uvloop"),
        LoopPeer("rloop", "rloop", "rloop", "rloop"),
        LoopPeer("asyncio", "asyncio", "", "asyncio"),
        LoopPeer(
            "aiofastnet", "aiofastnet", "aiofastnet", "asyncio", "asyncio, transports of aiofastnet"
        ),
        LoopPeer(
            "aiofastnet+uvloop",
            "aiofastnet",
            "aiofastnet",
            "uvloop",
            "uvloop, transports of aiofastnet",
        ),
    )
}


def loop_factory(name: str) -> Callable[[], asyncio.AbstractEventLoop]:
    """The factory of a peer's loop; ImportError if it is not installed, KeyError if unknown."""
    peer = LOOPS[name]
    importlib.import_module(peer.module)
    factory: Callable[[], asyncio.AbstractEventLoop]
    if peer.base == "asyncio":
        factory = asyncio.SelectorEventLoop
    else:
        factory = importlib.import_module(peer.base).new_event_loop
    return _patched(factory) if peer.module == "aiofastnet" else factory


def _patched(
    base: Callable[[], asyncio.AbstractEventLoop],
) -> Callable[[], asyncio.AbstractEventLoop]:
    """Loops of `base` whose transports and sock_* methods are aiofastnet's."""
    patch = importlib.import_module("aiofastnet").patch_loop
    return lambda: patch(base())


def new_loop(name: str) -> asyncio.AbstractEventLoop:
    return loop_factory(name)()


def version(distribution: str) -> str:
    """The installed version of a distribution; that of Python for the standard library."""
    if not distribution:
        return platform.python_version()
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""

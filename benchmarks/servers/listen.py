"""The listening socket of a server under test."""

from __future__ import annotations

import resource
import socket


def tcp() -> tuple[socket.socket, int]:
    """A listening socket on a free port of the loopback interface, and the port.

    The protocol is named: asyncio sets TCP_NODELAY only on sockets that say they are TCP.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", 0))
    listener.listen(4096)
    listener.setblocking(False)
    # Asked for now: rloop takes the descriptor out of the socket object.
    return listener, listener.getsockname()[1]

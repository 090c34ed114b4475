"""A server that answers by a script and keeps the bytes of every connection.

A script is a list of answers; the n-th request that comes, on whatever connection, gets the n-th,
later ones the last. An answer is a list of steps: bytes are sent, the words below do what they say,
and what is callable is called with the request and gives the bytes to send.
"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Callable, Sequence
from ssl import SSLError
from typing import Any

import support
from http_support import Asked, Peer, RawServer


class Do(enum.Enum):
    """What a script does besides sending."""

    UNASKED = "send before a request has come"
    EARLY = "answer before the request's body has come"
    REFUSE = "no 100 Continue; the body is not awaited"
    SETTLE = "let the client read what was sent"
    CLOSE = "close the connection"
    RESET = "close it with RST"
    TLS = "speak TLS from here on, as a proxy's tunnel does"
    STALL = "say nothing more until the client goes"


Step = bytes | Do | Callable[[Asked], bytes]
Answer = bytes | Sequence[Step]

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Recorder(RawServer):
    """What each connection brought, in the order in which they came."""

    def __init__(self) -> None:
        super().__init__(self._serve)
        self.answers: Sequence[Answer] = ()
        self.context: Any = None  # of Do.TLS
        self.count = 0

    def begin(self, answers: Sequence[Answer]) -> None:
        """For the next call: its script, and nothing recorded."""
        self.answers = answers
        self.count = 0
        self.peers.clear()
        self.asked.clear()

    @property
    def wire(self) -> list[bytes]:
        """The bytes of each connection."""
        return [bytes(peer.received) for peer in self.peers]

    async def _serve(self, peer: Peer) -> None:
        while True:
            following = self._answer(self.count)
            if Do.UNASKED not in following:
                asked = await self._request(peer, following)
            else:
                asked = Asked(b"", b"")
            steps = self._answer(self.count)
            self.count += 1
            for step in steps:
                if step is Do.CLOSE:
                    return
                if step is Do.RESET:
                    peer.reset()
                    return
                if step is Do.TLS:
                    try:
                        await self._speak_tls(peer)
                    except SSLError:
                        return  # the client does not like the certificate
                elif step is Do.STALL:
                    await peer.gone()
                elif step is Do.SETTLE:
                    await support.settle(4)
                elif not isinstance(step, Do):
                    peer.send(step(asked) if callable(step) else step)

    async def _speak_tls(self, peer: Peer) -> None:
        loop = asyncio.get_running_loop()
        transport = peer.transport
        peer.transport = await loop.start_tls(transport, peer, self.context, server_side=True)

    def _answer(self, number: int) -> Sequence[Step]:
        answer = self.answers[min(number, len(self.answers) - 1)]
        return [answer] if isinstance(answer, bytes) or callable(answer) else answer

    async def _request(self, peer: Peer, answer: Sequence[Step]) -> Asked:
        if Do.EARLY in answer or Do.REFUSE in answer:
            return await peer.request(body=False)
        asked = await peer.request(body=False)
        if b"\r\nexpect: 100-continue\r\n" in asked.head.lower():
            peer.send(CONTINUE)
        self.asked.pop()
        peer.buffer[:0] = asked.head
        return await peer.request()


async def quiet(peers: Sequence[Peer]) -> list[bool]:
    """Which connections the client keeps, once it has had time to close the others."""
    await support.settle(10)
    return [not peer.ended for peer in peers]


async def listen(recorder: Recorder, ssl: object = None) -> asyncio.AbstractServer:
    """Start to listen on a free port."""
    loop = asyncio.get_running_loop()
    recorder.tls = ssl is not None
    listener = await loop.create_server(
        lambda: Peer(recorder),
        support.LOCALHOST,
        0,
        ssl=ssl,  # type: ignore[arg-type]
    )
    recorder.port = listener.sockets[0].getsockname()[1]
    host = "localhost" if recorder.tls else support.LOCALHOST
    recorder.url = f"http{'s' * recorder.tls}://{host}:{recorder.port}"
    return listener

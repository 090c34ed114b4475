"""Another thread touches a transport while the loop sleeps: the program's, or the collector there,
which ends coroutines whose `finally` closes. By contract asyncio allows none of it; it survives it.

The worst moment is when the poll is over and the loop waits for the GIL in its first callback. The
other thread makes that moment: it sends without giving the GIL up, by ctypes.PyDLL, and sleeps the
same way. What is written from there may wait for ever on asyncio, so that is tested on uvolt alone.
"""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest
import support

COMMON = """
import ctypes, socket, sys, threading
libc = ctypes.PyDLL(None)  # its calls keep the GIL
sys.setswitchinterval(10)

def send(sock, data=b"x"):
    assert libc.send(sock.fileno(), data, len(data), 0) == len(data)
    libc.usleep(20_000)  # the loop has left its poll and waits for the GIL

def end(sock):
    assert libc.shutdown(sock.fileno(), socket.SHUT_WR) == 0
    libc.usleep(20_000)

class Protocol(asyncio.Protocol):
    def __init__(self):
        self.log = []
    def connection_made(self, transport):
        self.transport = transport
    def data_received(self, data):
        self.log.append(data)
    def datagram_received(self, data, address):
        self.log.append(data)
    def error_received(self, exc):
        self.log.append(exc)
    def eof_received(self):
        self.log.append("eof")
    def connection_lost(self, exc):
        self.log.append(f"lost {exc}")

class Buffered(Protocol, asyncio.BufferedProtocol):
    def get_buffer(self, hint):
        self.buffer = bytearray(100)
        return self.buffer
    def buffer_updated(self, n):
        self.log.append(bytes(self.buffer[:n]))

def in_thread(function, *args):
    thread = threading.Timer(0.05, function, args)  # by then the loop sleeps
    thread.start()
    return thread

async def connected(kind):
    loop = asyncio.get_running_loop()
    if kind == "udp":
        peer = socket.socket(type=socket.SOCK_DGRAM)
        peer.bind(("127.0.0.1", 0))
        transport, protocol = await loop.create_datagram_endpoint(
            Protocol, remote_addr=peer.getsockname())
        peer.connect(transport.get_extra_info("sockname"))
    else:
        mine, peer = socket.socketpair()
        mine.setblocking(False)
        transport, protocol = await loop.create_connection(
            Buffered if kind == "buffered" else Protocol, sock=mine)
    return transport, protocol, peer

def run(main, *args):
    loop = new_loop()
    loop.run_until_complete(main(*args))
    loop.close()
"""


def script(loop_name: str, body: str, *args: str) -> list[str]:
    return support.script(loop_name, COMMON + textwrap.dedent(body), args=args).splitlines()


@pytest.mark.parametrize("method", ["close", "abort"])
@pytest.mark.parametrize(
    ("kind", "event"),
    [
        ("plain", "send"),
        ("plain", "end"),
        ("buffered", "send"),
        ("buffered", "end"),
        ("udp", "send"),
    ],
)
def test_closed_while_something_comes(loop_name: str, kind: str, event: str, method: str) -> None:
    out = script(
        loop_name,
        """
        def act(transport, peer):
            globals()[sys.argv[2]](peer)
            getattr(transport, sys.argv[3])()

        async def main():
            transport, protocol, peer = await connected(sys.argv[1])
            in_thread(act, transport, peer)
            await asyncio.sleep(0.5)
            print(protocol.log, transport.is_closing())
            peer.close()

        run(main)
        """,
        *(kind, event, method),
    )
    assert out == ["['lost None'] True"]


@pytest.mark.parametrize("kind", ["plain", "buffered"])
@pytest.mark.parametrize("event", ["send", "end"])
def test_paused_while_something_comes(loop_name: str, kind: str, event: str) -> None:
    """It comes when reading is resumed."""
    out = script(
        loop_name,
        """
        def act(transport, peer):
            globals()[sys.argv[2]](peer)
            transport.pause_reading()

        async def main():
            transport, protocol, peer = await connected(sys.argv[1])
            in_thread(act, transport, peer)
            await asyncio.sleep(0.3)
            print(protocol.log)
            in_thread(transport.resume_reading)
            await asyncio.sleep(0.3)
            print(protocol.log)
            transport.abort()
            peer.close()
            await asyncio.sleep(0)

        run(main)
        """,
        *(kind, event),
    )
    assert out == ["[]", "[b'x']" if event == "send" else "['eof', 'lost None']"]


@pytest.mark.parametrize("event", ["paused and resumed", "resumed and paused"])
def test_paused_and_resumed(loop_name: str, event: str) -> None:
    out = script(
        loop_name,
        """
        def act(transport, peer):
            send(peer)
            transport.pause_reading()
            transport.resume_reading()
            if sys.argv[1] == "resumed and paused":
                transport.pause_reading()

        async def main():
            transport, protocol, peer = await connected("plain")
            in_thread(act, transport, peer)
            await asyncio.sleep(0.3)
            print(protocol.log)
            transport.abort()
            peer.close()
            await asyncio.sleep(0)

        run(main)
        """,
        event,
    )
    assert out == ["[b'x']" if event == "paused and resumed" else "[]"]


def test_written_while_the_loop_sleeps() -> None:
    """More than the socket takes, and the loop is woken for it."""
    out = script(
        "uvolt",
        """
        size = 5_000_000

        def receive(peer, got):
            while len(got) < 2 * size and (data := peer.recv(1_000_000)):
                got += data

        async def main():
            transport, protocol, peer = await connected("plain")
            got = bytearray()
            in_thread(lambda: [transport.write(bytes([n]) * size) for n in (1, 2)])
            reader = threading.Thread(target=receive, args=(peer, got))
            in_thread(reader.start)
            await asyncio.sleep(0.2)
            await asyncio.get_running_loop().run_in_executor(None, reader.join)
            print(got == b"\\1" * size + b"\\2" * size, transport.get_write_buffer_size())
            transport.close()
            await asyncio.sleep(0)
            print(protocol.log)
            peer.close()

        sys.setswitchinterval(0.005)
        run(main)
        """,
    )
    assert out == ["True 0", "['lost None']"]


def test_written_and_closed_while_the_loop_sleeps() -> None:
    """What was written goes out first."""
    out = script(
        "uvolt",
        """
        size = 5_000_000

        async def main():
            transport, protocol, peer = await connected("plain")
            def act():
                transport.write(b"x" * size)
                transport.close()
            in_thread(act)
            got = 0
            loop = asyncio.get_running_loop()
            while data := await loop.run_in_executor(None, peer.recv, 1_000_000):
                got += len(data)
            print(got, protocol.log)
            peer.close()

        sys.setswitchinterval(0.005)
        run(main)
        """,
    )
    assert out == ["5000000 ['lost None']"]


def test_datagrams_that_do_not_fit_are_sent(tmp_path: Path) -> None:
    out = script(
        "uvolt",
        """
        async def main():
            loop = asyncio.get_running_loop()
            peer = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            peer.bind(sys.argv[1])
            transport, protocol = await loop.create_datagram_endpoint(
                Protocol, family=socket.AF_UNIX, remote_addr=sys.argv[1])
            count = 2000
            def act():
                for n in range(count):
                    transport.sendto(b"%04d" % n)
            in_thread(act)
            await asyncio.sleep(0.2)
            print(transport.get_write_buffer_size() > 0)
            got = [await loop.run_in_executor(None, peer.recv, 100) for _ in range(count)]
            print(got == [b"%04d" % n for n in range(count)], protocol.log)
            transport.close()
            await asyncio.sleep(0)
            peer.close()

        sys.setswitchinterval(0.005)
        run(main)
        """,
        str(tmp_path / "peer"),
    )
    assert out == ["True", "True []"]


def test_a_coroutine_that_the_collector_ends_elsewhere(loop_name: str) -> None:
    """A task that nobody keeps waits for what never comes; its `finally` closes."""
    out = script(
        loop_name,
        """
        import gc

        async def work(transport):
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                transport.close()

        def act(peer):
            send(peer)
            gc.collect()

        async def main():
            gc.disable()
            transport, protocol, peer = await connected("plain")
            asyncio.get_running_loop().set_exception_handler(lambda *args: None)
            asyncio.ensure_future(work(transport))
            await asyncio.sleep(0)
            in_thread(act, peer)
            await asyncio.sleep(0.3)
            print(protocol.log)
            peer.close()

        run(main)
        """,
    )
    assert out == ["['lost None']"]

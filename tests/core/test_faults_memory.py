"""Row 57 of the table of faults: an allocation that fails, at any point of common work.

The allocator of Python refuses one request, the n-th, for each n in turn. What may happen: the
caller gets MemoryError, or the exception handler is told, or it was of no consequence. What may
not: a crash, a hang that nobody was told of, a descriptor lost, a loop that no longer works.
"""

from __future__ import annotations

import nomemory_support
import pytest
import support

pytest.importorskip("_testcapi", reason="this Python comes without the hook of its own tests")

SCRIPT = (
    nomemory_support.COMMON
    + """
import ssl, time


class Echo(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(data)


class Client(Echo):
    def __init__(self):
        self.count = 0
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.transport = transport
        transport.write(b"x" * 3000)

    def data_received(self, data):
        self.count += len(data)
        if self.count >= 3000:
            self.transport.close()

    def connection_lost(self, exc):
        if not self.done.done():
            self.done.set_result(None)


async def tcp(loop, begin, server_ssl=None, client_ssl=None):
    server = await loop.create_server(Echo, "127.0.0.1", 0, ssl=server_ssl)
    sock = socket.create_connection(server.sockets[0].getsockname())
    await asyncio.sleep(0)
    name = None if client_ssl is None else "localhost"
    begin()
    try:
        _, client = await loop.create_connection(
            Client, sock=sock, ssl=client_ssl, server_hostname=name
        )
        await client.done
    finally:
        _testcapi.remove_mem_hooks()
        server.close()
        sock.close()


async def tls(loop, begin):
    await tcp(loop, begin, *contexts)


def nothing(*args):
    pass


# No function and no generator is made while memory is short: CPython 3.12 and 3.13 crash then.
async def calls(loop, begin):
    a, b = socket.socketpair()
    begin()
    try:
        future = loop.create_future()
        loop.call_soon(nothing, 1, 2)
        loop.call_later(0.001, future.set_result, None)
        loop.call_at(loop.time() + 1, print).cancel()
        loop.call_soon_threadsafe(nothing)
        loop.add_reader(a, nothing)
        loop.remove_reader(a)
        b.send(b"x")
        assert await loop.sock_recv(a, 10) == b"x"
        await loop.sock_sendall(a, b"y")
        await future
    finally:
        _testcapi.remove_mem_hooks()
        loop.remove_reader(a)
        a.close()
        b.close()


async def streams(loop, begin):
    async def handler(reader, writer):
        try:
            writer.write(await reader.readline())
            await writer.drain()
        finally:
            writer.close()

    server = await asyncio.start_server(handler, "127.0.0.1", 0)
    writer = None
    address = server.sockets[0].getsockname()
    begin()
    try:
        reader, writer = await asyncio.open_connection(*address)
        writer.write(b"hello")
        writer.write(b"world\\n")
        line = await reader.readline()
        if not line:  # the handler has failed
            raise ConnectionResetError
        assert line == b"helloworld\\n", line
    finally:
        _testcapi.remove_mem_hooks()
        server.close()
        if writer is not None:
            writer.close()


async def datagrams(loop, begin):
    received = loop.create_future()

    class Receiver(asyncio.DatagramProtocol):
        def datagram_received(self, data, address):
            if not received.done():
                received.set_result(data)

    transport = None
    begin()
    try:
        transport, _ = await loop.create_datagram_endpoint(
            Receiver, local_addr=("127.0.0.1", 0)
        )
        transport.sendto(b"x" * 100, transport.get_extra_info("sockname"))
        await received
    finally:
        _testcapi.remove_mem_hooks()
        if transport is not None:
            transport.close()


def attempt(number):
    loop = new_loop()

    def begin():
        fail_at(number)

    outcome, _ = ending(loop, work(loop, begin), number, (ConnectionError, ssl.SSLError))
    loop.close()
    return outcome


scenario, attempts = sys.argv[1], int(sys.argv[2])
work = globals()[scenario]
if scenario == "tls":
    import trustme

    ca = trustme.CA()
    contexts = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    ca.issue_cert("localhost").configure_cert(contexts[0])
    ca.configure_trust(contexts[1])
for _ in range(3):
    assert attempt(None) == "done"
gc.collect()
before = len(os.listdir("/proc/self/fd"))
outcomes = [attempt(number) for number in range(attempts)]
gc.collect()
# CPython's own socket functions lose a descriptor when they fail at their last step
assert len(os.listdir("/proc/self/fd")) <= before + 4
assert attempt(None) == "done"
print(count(outcomes))
"""
)


@pytest.mark.parametrize(
    "scenario, attempts, engine",
    [
        ("calls", 150, ""),
        ("tcp", 120, ""),
        ("streams", 160, ""),
        ("datagrams", 120, ""),
        ("tls", 250, "direct"),
        ("tls", 300, "memorybio"),
    ],
)
def test_fault_57_an_allocation_fails(loop_name, scenario, attempts, engine):
    support.oracle_lacks(loop_name, True, "its selector's events are lost, and it hangs silently")
    if support.PY >= (3, 12) and scenario in ("streams", "datagrams"):
        pytest.skip("CPython itself crashes when it cannot make a function, on asyncio as well")
    out = support.script(
        loop_name,
        SCRIPT,
        args=(scenario, str(attempts)),
        env={"UVOLT_TLS": engine},
        stderr=None,
        timeout=50,
        options=("-X", "faulthandler"),
    )
    assert "'raised'" in out and "'done'" in out


ABORT = (
    nomemory_support.COMMON
    + """
class Peer(asyncio.Protocol):
    def connection_lost(self, exc):
        lost.append(exc)


async def main():
    listener = socket.create_server(("127.0.0.1", 0))
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_connection(Peer, *listener.getsockname())
    accepted, _ = listener.accept()
    _testcapi.set_nomemory(0)
    transport.abort()
    _testcapi.remove_mem_hooks()
    assert not lost
    while not lost:
        await asyncio.sleep(0.01)
    assert accepted.recv(1) == b""
    accepted.close()
    listener.close()


lost = []
loop = new_loop()
loop.set_exception_handler(lambda *_: None)
loop.run_until_complete(asyncio.wait_for(main(), 10))
loop.close()
print(type(lost[0]).__name__, len(lost))
"""
)


def test_no_memory_at_all_while_a_connection_is_aborted(loop_name):
    """Its socket is closed and its protocol told."""
    support.oracle_lacks(loop_name, True, "abort() raises, the socket stays open")
    out = support.script(loop_name, ABORT, stderr=None, options=("-X", "faulthandler"))
    assert out == "MemoryError 1\n"

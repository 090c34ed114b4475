"""Three cases measured by hand: plain scripts that share nothing with the drivers.

    python benchmarks/checks.py [LOOP...]

Each prints microseconds of CPU an operation, the least of five; set them beside the minimum that
run.py gives for micro/call_soon_chain, echo/protocol_1k_10c and client/json_64. The last needs a
server: the C program http_server_uv, which run.py has built.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import resource
import socket
import subprocess
import sys
import tempfile
import time

REPEAT = 5
CORES = sorted(os.sched_getaffinity(0))


def make_loop(name: str) -> asyncio.AbstractEventLoop:
    return importlib.import_module(name).new_event_loop()


def own_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def chain(name: str) -> float:
    """A callback that schedules itself 200,000 times."""
    os.sched_setaffinity(0, {CORES[-1]})
    loop = make_loop(name)
    count = 0

    def step() -> None:
        nonlocal count
        count += 1
        if count % 200_000:
            loop.call_soon(step)
        else:
            loop.stop()

    took = []
    for _ in range(REPEAT):
        begin = own_cpu()
        loop.call_soon(step)
        loop.run_forever()
        took.append((own_cpu() - begin) / 200_000)
    loop.close()
    return min(took) * 1e6


SERVER = """
import asyncio, importlib
class Echo(asyncio.Protocol):
    def connection_made(self, transport): self.transport = transport
    def data_received(self, data): self.transport.write(data)
async def main():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Echo, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.sleep(600)
loop = importlib.import_module({name!r}).new_event_loop()
asyncio.set_event_loop(loop)
loop.run_until_complete(main())
"""


def stat_cpu(pid: int) -> float:
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def echo(name: str) -> float:
    """40,000 round trips of 1 KiB: ten sockets, all sent to, then all asked until they answer.

    Asked again and again, not waited for: a client that sleeps makes the server pay for waking it.
    A connection is closed first: until then asyncio's reads of 256 KiB are each mapped and unmapped
    by malloc, and cost three times as much; a server of any age is past that.
    """
    argv = ["taskset", "-c", str(CORES[-1]), sys.executable, "-c", SERVER.format(name=name)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            port = int(server.stdout.readline())
            os.sched_setaffinity(0, {CORES[0]})
            socks = [socket.create_connection(("127.0.0.1", port)) for _ in range(10)]
            with socket.create_connection(("127.0.0.1", port)) as first:
                first.send(b"x")
                first.recv(1)
            for sock in socks:
                sock.setblocking(False)
            message = b"x" * 1024
            took = []
            for _ in range(REPEAT):
                begin = stat_cpu(server.pid)
                for _ in range(4_000):
                    for sock in socks:
                        sock.send(message)
                    for sock in socks:
                        got = 0
                        while got < 1024:
                            try:
                                got += len(sock.recv(1024 - got))
                            except BlockingIOError:
                                pass
                took.append((stat_cpu(server.pid) - begin) / 40_000)
        finally:
            server.kill()
    return min(took) * 1e6


def http_client(name: str) -> float:
    """3,200 GETs with aiohttp, 64 at a time, of a small JSON."""
    import aiohttp

    program = os.path.join(os.path.dirname(__file__), "../build/bench/http_server_uv")
    with tempfile.NamedTemporaryFile() as file:
        body = b'{"ok": true, "id": 7, "name": "a customer", "total": 125000}'
        file.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\n"
            b"Server: bench\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
        )
        file.flush()
        argv = ["taskset", "-c", str(CORES[0]), program, f"/json={file.name}"]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as server:
            try:
                assert server.stdout is not None
                port = server.stdout.readline().split()[1].strip(",")
                os.sched_setaffinity(0, {CORES[-1]})
                took = []

                async def main() -> None:
                    async with aiohttp.ClientSession() as session:

                        async def some() -> None:
                            for _ in range(50):
                                async with session.get(f"http://127.0.0.1:{port}/json") as r:
                                    assert (await r.json())["ok"]

                        for _ in range(REPEAT):
                            begin = own_cpu()
                            await asyncio.gather(*(some() for _ in range(64)))
                            took.append((own_cpu() - begin) / 3200)

                loop = make_loop(name)
                loop.run_until_complete(main())
                loop.close()
            finally:
                server.kill()
    return min(took) * 1e6


def main() -> None:
    for name in sys.argv[1:] or ["asyncio", "uvloop", "uvolt"]:
        for check in (chain, echo, http_client):
            begin = time.monotonic()
            print(f"{name:8} {check.__name__:12} {check(name):8.3f} us", end="", flush=True)
            print(f"   ({time.monotonic() - begin:.1f} s)")


if __name__ == "__main__":
    main()

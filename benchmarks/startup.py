"""What a program pays before its first callback, first loop and first request, in milliseconds.

    python benchmarks/startup.py import|loop|request --loop NAME

Prints {"ms": ...}. A fresh process each time: the driver starts it again for each round.
"""

import sys
import time

BEGIN = time.perf_counter_ns()

BASES = {"aiofastnet": "asyncio", "aiofastnet+uvloop": "uvloop"}


def factory(name: str):
    module = __import__(BASES.get(name, name))
    if module.__name__ == "asyncio":
        make = module.SelectorEventLoop
    else:
        make = module.new_event_loop
    if name in BASES:
        import aiofastnet

        return lambda: aiofastnet.patch_loop(make())
    return make


async def nothing() -> None:
    pass


async def request() -> None:
    """A stream server, a connection to it, one line and its answer."""
    import asyncio

    async def answer(reader, writer) -> None:
        writer.write(await reader.readline())
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()[:2]
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(b"hello\n")
    assert await reader.readline() == b"hello\n"
    writer.close()
    server.close()


def main() -> None:
    what, name = sys.argv[1], sys.argv[3]
    make = factory(name)
    if what != "import":
        loop = make()
        import asyncio

        asyncio.set_event_loop(loop)
        loop.run_until_complete(nothing() if what == "loop" else request())
    elapsed = time.perf_counter_ns() - BEGIN
    print(f'{{"ms": {elapsed / 1e6:.4f}}}', flush=True)


main()

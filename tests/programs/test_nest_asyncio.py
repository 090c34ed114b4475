"""nest_asyncio: running the loop from within a task of it (not on uvloop: its issue 405)."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

SCENE = """
    import asyncio, signal, sys, threading, os
    import nest_asyncio

    async def answer(reader, writer):
        writer.write((await reader.readline()).upper())
        await writer.drain()
        writer.close()

    async def ask(port, text):
        await asyncio.sleep(0.001)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(text + b"\\n")
        line = await reader.readline()
        writer.close()
        await writer.wait_closed()
        return line

    async def serving():
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        return server, server.sockets[0].getsockname()[1]

"""

# It patches asyncio for good, so each of these is a process of its own. `apply` runs before the
# loop does, or in a task of it, as in a notebook.
PROGRAMS = {
    "run_within_a_task": """
        async def main():
            apply()
            server, port = await serving()
            loop = asyncio.get_running_loop()
            assert asyncio.run(ask(port, b"one")) == b"ONE\\n"
            assert loop.run_until_complete(ask(port, b"two")) == b"TWO\\n"
            assert asyncio.get_running_loop() is loop
            task = asyncio.create_task(ask(port, b"three"))
            both = asyncio.gather(ask(port, b"four"), task)
            assert loop.run_until_complete(both) == [b"FOUR\\n", b"THREE\\n"]
            server.close()

        asyncio.run(main())
    """,
    "deep": """
        async def main(depth):
            apply()
            await asyncio.sleep(0)
            if depth:
                asyncio.run(main(depth - 1))
            return depth

        assert asyncio.run(main(20)) == 20
    """,
    "others_go_on": """
        ticks = []

        async def tick():
            while True:
                ticks.append(1)
                await asyncio.sleep(0.001)

        async def main():
            apply()
            task = asyncio.create_task(tick())
            asyncio.get_running_loop().run_until_complete(asyncio.sleep(0.1))
            assert len(ticks) > 5, len(ticks)
            task.cancel()

        asyncio.run(main())
    """,
    "threads_and_timers": """
        async def main():
            apply()
            loop = asyncio.get_running_loop()
            assert loop.run_until_complete(asyncio.to_thread(int, "6")) == 6
            order = []
            for delay in (0.03, 0.01, 0.02):
                loop.call_later(delay, order.append, delay)
            loop.call_later(0.015, order.append, "never").cancel()
            loop.run_until_complete(asyncio.sleep(0.05))
            assert order == [0.01, 0.02, 0.03], order
            try:
                asyncio.run(asyncio.wait_for(asyncio.sleep(10), 0.01))
            except asyncio.TimeoutError:
                pass
            else:
                raise AssertionError("no timeout")

        asyncio.run(main())
    """,
    "errors": """
        async def fail():
            await asyncio.sleep(0)
            raise ValueError("inner")

        async def main():
            apply()
            try:
                asyncio.run(fail())
            except ValueError as error:
                assert str(error) == "inner"
            return "outer"

        assert asyncio.run(main()) == "outer"
    """,
    "subprocess": """
        async def child():
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-c", "print('child')", stdout=asyncio.subprocess.PIPE)
            return (await process.communicate())[0]

        async def main():
            apply()
            assert asyncio.run(child()) == b"child\\n"

        asyncio.run(main())
    """,
    "signals": """
        async def main():
            apply()
            loop = asyncio.get_running_loop()
            got = loop.create_future()
            loop.add_signal_handler(signal.SIGUSR1, got.set_result, "signal")
            threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1)).start()
            assert loop.run_until_complete(asyncio.wait_for(got, 10)) == "signal"
            signal.signal(signal.SIGINT, signal.default_int_handler)  # not the Runner's
            threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()
            try:
                loop.run_until_complete(asyncio.sleep(30))
            except (KeyboardInterrupt, asyncio.CancelledError):
                return
            raise AssertionError("no interrupt")

        try:
            asyncio.run(main())
        except KeyboardInterrupt:
            pass
    """,
}


@pytest.mark.parametrize("when", ["before", "in a task"])
@pytest.mark.parametrize("program", list(PROGRAMS))
def test_nest_asyncio(loop_name, program, when):
    code = textwrap.dedent(SCENE)
    if loop_name == "uvolt":
        code += "import uvolt; uvolt.install()\n"
    if when == "before":
        code += "nest_asyncio.apply(); apply = lambda: None\n"
    else:
        code += "apply = nest_asyncio.apply\n"
    code += textwrap.dedent(PROGRAMS[program]) + "print('done')\n"
    run = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "done\n", "")

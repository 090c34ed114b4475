"""Loops in sub-interpreters: each has its own types, pools, counters and signal sockets.

What one interpreter does alone is in tests/core/test_faults_loop.py (fault 46).
"""

from __future__ import annotations

import sys

import pytest
import support

pytestmark = pytest.mark.skipif(
    sys.version_info < (3, 12), reason="interpreters share one GIL before 3.12"
)

SIDE_BY_SIDE = """
    import os, sys, textwrap, threading
    try:
        import _interpreters as interpreters
    except ImportError:
        import _xxsubinterpreters as interpreters
    code = textwrap.dedent('''
        import sys
        sys.path[:] = PATH
        FACTORY
        import asyncio
        async def echo(reader, writer):
            while data := await reader.read(100):
                writer.write(data)
            writer.close()
        async def talk(n):
            server = await asyncio.start_server(echo, "127.0.0.1", 0)
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            for i in range(n):
                writer.write(b"%04d" % i)
                assert await reader.readexactly(4) == b"%04d" % i
                if i % 10 == 0:
                    await asyncio.sleep(0.0001)
            writer.close()
            await writer.wait_closed()
            server.close()
            await server.wait_closed()
            await asyncio.sleep(0.001)
        def run(n):
            loop = new_loop()
            loop.run_until_complete(talk(n))
            loop.close()
        run(300)
        left = [module for name, module in sys.modules.items() if name == "uvolt._core"]
        for module in left:
            counts = module.counters()
            assert counts["uv_handles_opened"] == counts["uv_handles_closed"] > 0, counts
    ''')
    code = code.replace("PATH", repr(sys.path)).replace("FACTORY", FACTORY)
    failed = []
    def work():
        for _ in range(2):
            other = interpreters.create()
            failed.append(interpreters.run_string(other, code))
            interpreters.destroy(other)
    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    async def beside():
        while any(thread.is_alive() for thread in threads):
            await asyncio.sleep(0.001)
    loop = new_loop()
    loop.run_until_complete(beside())
    loop.close()
    print(len(failed), {repr(failure) for failure in failed}, flush=True)
    os._exit(0)  # 3.12.1 aborts at its end once a sub-interpreter has imported asyncio
"""


def test_side_by_side_in_threads(loop_name):
    factory = support.factory_code(loop_name).strip().replace("\n", "; ")
    source = SIDE_BY_SIDE.replace("FACTORY)", f"{factory!r})")
    out = support.script(loop_name, source, options=("-X", "faulthandler"), timeout=60)
    assert out == "6 {'None'}\n"


def test_no_signals_in_a_sub_interpreter(loop_name):
    """Only the main interpreter has them: RuntimeError there, and nothing is left open."""
    factory = support.factory_code(loop_name).strip().replace("\n", "; ")
    out = support.script(
        loop_name,
        """
        import os, signal, sys, textwrap
        try:
            import _interpreters as interpreters
        except ImportError:
            import _xxsubinterpreters as interpreters
        code = textwrap.dedent('''
            import signal, sys
            sys.path[:] = PATH
            FACTORY
            loop = new_loop()
            try:
                loop.add_signal_handler(signal.SIGUSR1, int)
            except (RuntimeError, ValueError) as error:
                print("refused", flush=True)
            import asyncio
            loop.run_until_complete(asyncio.sleep(0.001))
            loop.close()
        ''').replace("PATH", repr(sys.path)).replace("FACTORY", FACTORY_TEXT)
        loop = new_loop()
        seen = []
        loop.add_signal_handler(signal.SIGUSR1, seen.append, 1)
        other = interpreters.create()
        failed = interpreters.run_string(other, code)
        interpreters.destroy(other)
        async def main():
            os.kill(os.getpid(), signal.SIGUSR1)
            while not seen:
                await asyncio.sleep(0.001)
        loop.run_until_complete(main())
        loop.remove_signal_handler(signal.SIGUSR1)
        loop.close()
        print(failed, seen, flush=True)
        os._exit(0)
        """.replace("FACTORY_TEXT", repr(factory)),
        options=("-X", "faulthandler"),
    )
    assert out == "refused\nNone [1]\n"

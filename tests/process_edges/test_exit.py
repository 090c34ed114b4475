"""The ends of a process: what is left open, who still runs. Exit code 0 and nothing on stderr."""

from __future__ import annotations

import signal
import sys

import pytest
import support

QUIET = ("-X", "faulthandler", "-W", "error", "-W", "ignore::ResourceWarning")


def test_nothing_at_all(loop_name):
    support.script(loop_name, "loop = new_loop()\nloop.close()\n")


def test_imported_only(loop_name):
    support.script(loop_name, "")


def test_loop_unclosed(loop_name):
    support.script(loop_name, "loop = new_loop()\n", options=QUIET)


def test_loop_unclosed_after_running(loop_name):
    support.script(
        loop_name,
        "loop = new_loop()\nloop.run_until_complete(asyncio.sleep(0.001))\n",
        options=QUIET,
    )


def test_loop_unclosed_in_a_module_cycle(loop_name):
    support.script(
        loop_name,
        """
        import sys
        loop = new_loop()
        sys.modules["keeper"] = loop
        loop.self = loop
        loop.call_later(100, print, loop)
        loop.call_soon(print, loop)
        """,
        options=QUIET,
    )


@pytest.mark.parametrize("threads", [1, 5])
def test_loop_running_in_a_daemon_thread(loop_name, threads):
    support.script(
        loop_name,
        f"""
        import threading, time
        def work():
            loop = new_loop()
            async def main():
                a = asyncio.Event()
                async def handle(reader, writer):
                    while data := await reader.read(100):
                        writer.write(data)
                server = await asyncio.start_server(handle, "127.0.0.1", 0)
                reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
                while True:
                    writer.write(b"x")
                    await reader.read(1)
            loop.run_until_complete(main())
        for _ in range({threads}):
            threading.Thread(target=work, daemon=True).start()
        time.sleep(0.1)
        """,
        options=QUIET,
    )


def test_loop_sleeping_in_a_daemon_thread(loop_name):
    support.script(
        loop_name,
        """
        import threading, time
        def work():
            loop = new_loop()
            loop.run_forever()
        threading.Thread(target=work, daemon=True).start()
        time.sleep(0.05)
        """,
        options=QUIET,
    )


def test_wake_ups_from_daemon_threads_at_exit(loop_name):
    support.script(
        loop_name,
        """
        import threading, time
        loop = new_loop()
        def work():
            while True:
                loop.call_soon_threadsafe(int)
        for _ in range(3):
            threading.Thread(target=work, daemon=True).start()
        loop.run_until_complete(asyncio.sleep(0.05))
        """,
        options=QUIET,
    )


def test_transports_open_at_exit(loop_name):
    support.script(
        loop_name,
        """
        import socket
        loop = new_loop()
        class Protocol(asyncio.Protocol):
            def connection_made(self, transport):
                self.transport = transport
                transport.write(b"x" * 5_000_000)
        async def main():
            server = await loop.create_server(Protocol, "127.0.0.1", 0)
            return server, [
                await loop.create_connection(Protocol, *server.sockets[0].getsockname())
                for _ in range(5)
            ]
        kept = loop.run_until_complete(main())
        loop.run_until_complete(asyncio.sleep(0.01))
        """,
        options=QUIET,
    )


def test_loop_closed_but_transports_open_at_exit(loop_name):
    support.script(
        loop_name,
        """
        loop = new_loop()
        class Protocol(asyncio.Protocol):
            def connection_made(self, transport):
                self.transport = transport
        async def main():
            server = await loop.create_server(Protocol, "127.0.0.1", 0)
            kept.append(server)
            kept.append(await loop.create_connection(Protocol, *server.sockets[0].getsockname()))
            await asyncio.sleep(0.01)
        kept = []
        loop.run_until_complete(main())
        loop.close()
        """,
        options=QUIET,
    )


def test_tasks_pending_at_exit(loop_name):
    support.script(
        loop_name,
        """
        loop = new_loop()
        async def forever():
            await asyncio.sleep(1000)
        tasks = [loop.create_task(forever()) for _ in range(3)]
        loop.run_until_complete(asyncio.sleep(0.001))
        import os, sys
        sys.stdout.flush()
        """,
        options=QUIET,
        stderr=None,
    )


def test_os_exit_in_a_callback(loop_name):
    support.script(
        loop_name,
        """
        import os
        loop = new_loop()
        loop.call_soon(os._exit, 3)
        loop.run_forever()
        """,
        code=3,
    )


def test_sys_exit_in_a_callback_with_everything_open(loop_name):
    support.script(
        loop_name,
        """
        import sys
        loop = new_loop()
        async def main():
            server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
            await loop.create_connection(asyncio.Protocol, *server.sockets[0].getsockname())
            loop.call_soon(sys.exit, 5)
            await asyncio.sleep(0.01)
        loop.run_until_complete(main())
        """,
        code=5,
        options=QUIET,
        stderr=None,
    )


def test_atexit_still_has_a_working_loop(loop_name):
    out = support.script(
        loop_name,
        """
        import atexit
        loop = new_loop()
        def last():
            print(loop.run_until_complete(asyncio.sleep(0.001, "last words")))
            loop.close()
        atexit.register(last)
        """,
    )
    assert out == "last words\n"


def test_loop_used_in_a_finalizer_at_exit(loop_name):
    support.script(
        loop_name,
        """
        class Closer:
            def __init__(self):
                self.loop = new_loop()
                self.close = self.loop.close
            def __del__(self):
                self.close()
        closer = Closer()
        closer.cycle = closer
        """,
        options=QUIET,
    )


def test_exec_from_a_running_loop(loop_name):
    out = support.script(
        loop_name,
        """
        import os, sys
        loop = new_loop()
        async def main():
            server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
            fds = sorted(os.listdir("/proc/self/fd"))
            code = "import os; print(len(os.listdir('/proc/self/fd')))"
            os.execv(sys.executable, [sys.executable, "-I", "-c", code])
        loop.run_until_complete(main())
        """,
    )
    # the loop's descriptors do not reach the new program: 0, 1, 2 and the directory
    assert int(out) == 4


def test_child_processes_inherit_nothing(loop_name):
    out = support.script(
        loop_name,
        """
        import os, subprocess, sys
        loop = new_loop()
        async def main():
            server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
            transport, _ = await loop.create_connection(
                asyncio.Protocol, *server.sockets[0].getsockname())
            code = "import os; print(len(os.listdir('/proc/self/fd')))"
            print(subprocess.run([sys.executable, "-I", "-c", code], close_fds=False,
                                 capture_output=True, text=True).stdout.strip())
            transport.abort()
            server.close()
            await server.wait_closed()
            await asyncio.sleep(0.001)
        loop.run_until_complete(main())
        loop.close()
        """,
    )
    assert int(out) == 4


def test_fork_in_a_running_loop_child_exits_normally(loop_name):
    """The child leaves by sys.exit: the interpreter's whole end runs in it."""
    out = support.script(
        loop_name,
        """
        import os, sys, warnings
        warnings.simplefilter("ignore")
        loop = new_loop()
        async def main():
            server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
            transport, _ = await loop.create_connection(
                asyncio.Protocol, *server.sockets[0].getsockname())
            pid = os.fork()
            if pid == 0:
                sys.exit(0)
            await asyncio.sleep(0.2)
            print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
            transport.abort()
            server.close()
            await server.wait_closed()
            await asyncio.sleep(0.01)
        loop.run_until_complete(main())
        loop.close()
        """,
        options=QUIET,
        stderr=None,
    )
    assert out == "0\n"


def test_multiprocessing_fork(loop_name):
    out = support.script(
        loop_name,
        """
        import multiprocessing, warnings
        warnings.simplefilter("ignore")
        def child(queue):
            loop = new_loop()
            queue.put(loop.run_until_complete(asyncio.sleep(0.001, "from the child")))
            loop.close()
        async def main():
            context = multiprocessing.get_context("fork")
            queue = context.Queue()
            process = context.Process(target=child, args=(queue,))
            process.start()
            print(await asyncio.get_running_loop().run_in_executor(None, queue.get))
            process.join()
            print(process.exitcode)
        loop = new_loop()
        loop.run_until_complete(main())
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
        """,
        options=QUIET,
    )
    assert out == "from the child\n0\n"


def test_collected_cycles_of_everything(loop_name):
    support.script(
        loop_name,
        """
        import gc, socket
        gc.disable()
        class Protocol(asyncio.Protocol):
            pass
        def make():
            loop = new_loop()
            async def main():
                protocol = Protocol()
                server = await loop.create_server(lambda: protocol, "127.0.0.1", 0)
                transport, _ = await loop.create_connection(
                    lambda: protocol, *server.sockets[0].getsockname())
                protocol.all = [loop, server, transport, loop.call_later(100, print, protocol)]
                loop.add_reader(r, print, protocol)
                loop.cycle = protocol
                await asyncio.sleep(0.001)
            a, b = socket.socketpair()
            r = a.fileno()
            loop.run_until_complete(main())
            loop.keep = a, b
        for n in range(20):
            make()
            gc.collect()
        """,
        options=QUIET,
    )


def test_killed_while_it_sleeps(loop_name):
    support.script(
        loop_name,
        """
        import os, signal, threading
        loop = new_loop()
        threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGTERM)).start()
        loop.run_forever()
        """,
        code=-signal.SIGTERM,
    )


def test_stop_from_a_daemon_thread_at_exit(loop_name):
    support.script(
        loop_name,
        """
        import threading, time
        loop = new_loop()
        def work():
            time.sleep(0.02)
            loop.call_soon_threadsafe(loop.stop)
        threading.Thread(target=work).start()
        loop.run_forever()
        loop.close()
        """,
    )


def test_loop_in_a_thread_that_ends(loop_name):
    support.script(
        loop_name,
        """
        import threading
        def work():
            loop = new_loop()
            asyncio.set_event_loop(loop)
            loop.run_until_complete(asyncio.sleep(0.01))
            loop.close()
        for _ in range(20):
            t = threading.Thread(target=work)
            t.start()
            t.join()
        """,
    )


def test_executor_busy_at_exit(loop_name):
    support.script(
        loop_name,
        """
        import time
        loop = new_loop()
        async def main():
            loop.run_in_executor(None, time.sleep, 0.2)
            await asyncio.sleep(0.01)
        loop.run_until_complete(main())
        loop.close()
        """,
        options=QUIET,
    )


def test_signal_handlers_at_exit(loop_name):
    support.script(
        loop_name,
        """
        import signal, os
        loop = new_loop()
        loop.add_signal_handler(signal.SIGUSR1, int)
        loop.add_signal_handler(signal.SIGINT, int)
        os.kill(os.getpid(), signal.SIGUSR1)
        loop.run_until_complete(asyncio.sleep(0.01))
        """,
        options=QUIET,
    )


@pytest.mark.skipif(sys.version_info < (3, 12), reason="asyncio.run(loop_factory=) came in 3.12")
def test_asyncio_run(loop_name):
    out = support.script(
        loop_name,
        """
        async def main():
            await asyncio.sleep(0.001)
            return type(asyncio.get_running_loop()).__module__.split(".")[0]
        print(asyncio.run(main(), loop_factory=new_loop))
        """,
    )
    assert out.strip() == loop_name

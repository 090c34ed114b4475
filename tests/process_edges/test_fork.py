"""os.fork() in a running loop: the child's loops, the parent's, and whose signals are whose."""

from __future__ import annotations

import sys

import support

QUIET = ("-X", "faulthandler", "-W", "error", "-W", "ignore::DeprecationWarning")


def test_child_makes_a_loop_of_its_own_while_the_parent_works(loop_name):
    """Connections, readers and timers of the parent go on; the child has all of that anew."""
    out = support.script(
        loop_name,
        """
        import os, socket
        async def echo(reader, writer):
            while data := await reader.read(100):
                writer.write(data)
            writer.close()
        async def talk():
            server = await asyncio.start_server(echo, "127.0.0.1", 0)
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            for n in range(20):
                writer.write(b"%02d" % n)
                assert await reader.readexactly(2) == b"%02d" % n
                await asyncio.sleep(0.001)
            writer.close()
            await writer.wait_closed()
            server.close()
        def child():
            loop = new_loop()
            loop.run_until_complete(talk())
            loop.close()
        async def main():
            ours, theirs = socket.socketpair()
            ours.setblocking(False)
            seen = []
            loop.add_reader(ours, lambda: seen.append(ours.recv(1)))
            running = asyncio.ensure_future(talk())
            await asyncio.sleep(0.005)
            pid = os.fork()
            if pid == 0:
                try:
                    asyncio.events._set_running_loop(None)
                    child()
                    os._exit(7)
                finally:
                    os._exit(1)
            theirs.send(b"x")
            await running
            while not seen:
                await asyncio.sleep(0.001)
            print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
            theirs.send(b"y")
            while len(seen) < 2:
                await asyncio.sleep(0.001)
            print(seen)
            loop.remove_reader(ours)
            ours.close()
            theirs.close()
        loop = new_loop()
        loop.run_until_complete(main())
        loop.close()
        """,
        options=QUIET,
    )
    assert out == "7\n[b'x', b'y']\n"


def test_signals_of_a_child_are_not_its_parents(loop_name):
    """Both have the same wakeup descriptor after a fork; a signal in the one is no business of the
    other."""
    support.oracle_lacks(
        loop_name, sys.version_info < (3, 12), "the child writes into its parent's signal pipe"
    )
    out = support.script(
        loop_name,
        """
        import os, signal
        loop = new_loop()
        seen = []
        async def main():
            loop.add_signal_handler(signal.SIGUSR1, lambda: seen.append(os.getpid()))
            pid = os.fork()
            if pid == 0:
                os.kill(os.getpid(), signal.SIGUSR1)
                os._exit(0)
            os.waitpid(pid, 0)
            await asyncio.sleep(0.02)
            print(seen)
            os.kill(os.getpid(), signal.SIGUSR1)
            while not seen:
                await asyncio.sleep(0.001)
            print(seen == [os.getpid()])
        loop.run_until_complete(main())
        loop.remove_signal_handler(signal.SIGUSR1)
        loop.close()
        """,
        options=QUIET,
    )
    assert out == "[]\nTrue\n"


def test_child_has_signals_on_its_own_loop(loop_name):
    out = support.script(
        loop_name,
        """
        import os, signal
        def wait_for_usr2(loop):
            seen = []
            async def main():
                loop.add_signal_handler(signal.SIGUSR2, seen.append, 1)
                os.kill(os.getpid(), signal.SIGUSR2)
                while not seen:
                    await asyncio.sleep(0.001)
                loop.remove_signal_handler(signal.SIGUSR2)
            loop.run_until_complete(main())
        loop = new_loop()
        async def main():
            loop.add_signal_handler(signal.SIGUSR1, print, "the parent's")
            await asyncio.sleep(0)
            pid = os.fork()
            if pid == 0:
                try:
                    asyncio.events._set_running_loop(None)
                    other = new_loop()
                    wait_for_usr2(other)
                    other.close()
                    os._exit(7)
                finally:
                    os._exit(1)
            while True:
                done, status = os.waitpid(pid, os.WNOHANG)
                if done:
                    break
                await asyncio.sleep(0.001)
            print(os.waitstatus_to_exitcode(status))
            await asyncio.sleep(0.01)
            loop.remove_signal_handler(signal.SIGUSR1)
        loop.run_until_complete(main())
        wait_for_usr2(loop)
        loop.close()
        """,
        options=QUIET,
    )
    assert out == "7\n"


def test_get_running_loop_in_the_child(loop_name):
    """There is none: the child of a fork runs no loop."""
    out = support.script(
        loop_name,
        """
        import os
        loop = new_loop()
        async def main():
            pid = os.fork()
            if pid == 0:
                try:
                    asyncio.get_running_loop()
                except RuntimeError:
                    os._exit(7)
                os._exit(1)
            print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        loop.run_until_complete(main())
        loop.close()
        """,
        options=QUIET,
    )
    assert out == "7\n"


def test_inherited_loop_of_a_rested_parent(loop_name):
    """Forked while it rests, a loop runs on in both, with the timers and readers it had."""
    support.oracle_lacks(loop_name, True, "parent and child share one epoll set")
    out = support.script(
        loop_name,
        """
        import os, signal, socket
        loop = new_loop()
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        seen = []
        loop.add_reader(ours, lambda: seen.append(ours.recv(1)))
        loop.call_later(0.02, seen.append, "timer")
        loop.add_signal_handler(signal.SIGUSR1, seen.append, "signal")
        loop.run_until_complete(asyncio.sleep(0))
        async def main():
            loop.call_later(0.01, os.kill, os.getpid(), signal.SIGUSR1)
            async with asyncio.timeout(10) if hasattr(asyncio, "timeout") else asyncio.Lock():
                while len(seen) < 3:
                    await asyncio.sleep(0.001)
        pid = os.fork()
        if pid == 0:
            try:
                theirs.send(b"c")
                loop.run_until_complete(main())
                os._exit(7 if sorted(map(str, seen)) == ["b'c'", "signal", "timer"] else 8)
            finally:
                os._exit(1)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        theirs.send(b"p")
        loop.run_until_complete(main())
        print(sorted(map(str, seen)))
        loop.remove_reader(ours)
        loop.remove_signal_handler(signal.SIGUSR1)
        loop.close()
        ours.close()
        theirs.close()
        """,
        options=QUIET,
    )
    assert out == "7\n[\"b'p'\", 'signal', 'timer']\n"

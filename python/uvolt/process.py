"""subprocess_exec() and subprocess_shell(): children made by subprocess.Popen, watched by pidfd.

Popen makes the child, so every option of it works and no at-fork hook runs. The loop watches a
pidfd of it (Linux 5.3 and later): no thread, no signal handler, no child watcher of a policy. Where
the system refuses one, a thread waits. Runs once per child; the pipes are C.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import os
import signal as signals
import subprocess
import sys
import threading
import types
import warnings
from asyncio import base_events, base_subprocess, events, unix_events
from asyncio.log import logger
from asyncio.subprocess import SubprocessStreamProtocol as StreamProtocol
from typing import Any

from . import _core

STOCK_RECEIVE = StreamProtocol.pipe_data_received
UNKNOWN_CODE = 255  # asyncio's returncode of a child that somebody else has waited for


def own_watcher() -> bool:
    """False if the program has chosen a child watcher, by itself or by a policy of its own.

    asyncio's two default ones are not a choice: what they do, the loop does better.
    """
    if sys.version_info >= (3, 14):
        return True  # there are none any more
    policy = events.get_event_loop_policy()
    method = getattr(type(policy), "get_child_watcher", None)
    if method is not unix_events._UnixDefaultEventLoopPolicy.get_child_watcher:
        return method in (None, events.AbstractEventLoopPolicy.get_child_watcher)
    watcher = getattr(policy, "_watcher", None)
    defaults = (unix_events.ThreadedChildWatcher, unix_events.PidfdChildWatcher)
    return watcher is None or type(watcher) in defaults


def connects_stock(loop: Any) -> bool:
    """False if the program has replaced connect_read_pipe() or connect_write_pipe()."""
    stock = base_events.BaseEventLoop
    return (
        getattr(loop.connect_read_pipe, "__func__", None) is stock.connect_read_pipe
        and getattr(loop.connect_write_pipe, "__func__", None) is stock.connect_write_pipe
    )


def reap(process: subprocess.Popen[bytes], flags: int = 0) -> int | None:
    """The returncode of a child: waits for it, or with WNOHANG gives None while it runs."""
    try:
        pid, status = os.waitpid(process.pid, flags)
    except ChildProcessError:
        if process.returncode is not None:  # by poll() or wait() of the Popen object
            return process.returncode
        logger.warning(
            "child process pid %d exit status already read:  will report returncode %d",
            process.pid,
            UNKNOWN_CODE,
        )
        return UNKNOWN_CODE
    return os.waitstatus_to_exitcode(status) if pid else None


@types.coroutine
def one_turn() -> Any:
    """Awaited, lets the others run once, as asyncio.sleep(0)."""
    yield


class SubprocessTransport(asyncio.SubprocessTransport):
    """A child process. See asyncio.SubprocessTransport.

    wait() of the Process is over when the child has exited, as from Python 3.13 on, also if
    somebody else still holds its pipes open.
    """

    def __init__(
        self,
        loop: Any,
        protocol: Any,
        args: Any,
        shell: bool,
        stdin: Any,
        stdout: Any,
        stderr: Any,
        bufsize: int,
        extra: dict[str, Any] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(extra)
        self._loop = loop
        self._protocol = protocol
        self._closed = True  # until there is a child
        self._pid: int | None = None
        self._returncode: int | None = None
        self._exit_waiters: list[asyncio.Future[int]] = []
        self._pending_calls: collections.deque[Any] | None = collections.deque()
        self._pipes: dict[int, Any] = {}
        self._fed: list[_core.ReadPipeTransport] = []
        self._proc: Any = subprocess.Popen(
            args,
            shell=shell,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            universal_newlines=False,
            bufsize=bufsize,
            **options,
        )
        self._closed = False
        self._pid = self._proc.pid
        self._extra["subprocess"] = self._proc  # type: ignore[attr-defined]
        self._files = (self._proc.stdin, self._proc.stdout, self._proc.stderr)
        self._open_pipes = 3 - self._files.count(None)

    def __repr__(self) -> str:
        info = [type(self).__name__]
        if self._closed:
            info.append("closed")
        info.append("not started" if self._pid is None else f"pid={self._pid}")
        if self._returncode is not None:
            info.append(f"returncode={self._returncode}")
        elif self._pid is not None:
            info.append("running")
        for fd, name in enumerate(("stdin", "stdout", "stderr")):
            if self._pipes.get(fd) is not None:
                info.append(f"{name}={self._pipes[fd].pipe}")
        return f"<{' '.join(info)}>"

    def __del__(self, _warn: Any = warnings.warn) -> None:
        if not self._closed:
            _warn(f"unclosed transport {self!r}", ResourceWarning, source=self)
            self.close()

    # ---- asyncio's interface -------------------------------------------------------------------

    def set_protocol(self, protocol: Any) -> None:
        """The next events go to this protocol."""
        self._protocol = protocol
        for pipe in self._fed:
            pipe._feed(None, "")
        self._fed.clear()

    def get_protocol(self) -> Any:
        """The protocol, None after connection_lost."""
        return self._protocol

    def is_closing(self) -> bool:
        """True once close() was called."""
        return self._closed

    def get_pid(self) -> int:
        """The child's process id."""
        return self._pid  # type: ignore[return-value]

    def get_returncode(self) -> int | None:
        """None while the child runs, -N if signal N ended it."""
        return self._returncode

    def get_pipe_transport(self, fd: int) -> Any:
        """The transport of the child's descriptor 0, 1 or 2; None if that is no pipe."""
        protocol = self._pipes.get(fd)
        return None if protocol is None else protocol.pipe

    def send_signal(self, signal: int) -> None:
        """Send a signal. ProcessLookupError once the transport is closed and the child gone."""
        if self._proc is None:
            raise ProcessLookupError
        if self._proc.returncode is None:  # not reaped: the number is still the child's
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._proc.pid, signal)

    def terminate(self) -> None:
        """send_signal(SIGTERM)"""
        self.send_signal(signals.SIGTERM)

    def kill(self) -> None:
        """send_signal(SIGKILL)"""
        self.send_signal(signals.SIGKILL)

    def close(self) -> None:
        """Close the pipes, and kill the child if it still runs."""
        if self._closed:
            return
        self._closed = True
        if self._loop is None:
            return
        if not self._loop.is_closed():  # pipes of a closed loop close by themselves
            for protocol in self._pipes.values():
                protocol.pipe.close()
        if self._returncode is None and self._proc.poll() is None:
            if self._loop.get_debug():
                logger.warning("Close running child process: kill %r", self)
            with contextlib.suppress(ProcessLookupError, PermissionError):
                self._proc.kill()

    # ---- called by the loop --------------------------------------------------------------------

    def _make_pipes(self) -> None:
        """Give each pipe its transport."""
        me: Any = self
        for fd, pipe in enumerate(self._files):
            if pipe is None:
                continue
            if fd == 0:
                protocol: Any = base_subprocess.WriteSubprocessPipeProto(me, fd)
                protocol.pipe = _core.make_write_pipe(self._loop, pipe, protocol, None, None)
            else:
                protocol = base_subprocess.ReadSubprocessPipeProto(me, fd)
                protocol.pipe = _core.make_read_pipe(self._loop, pipe, protocol, None, None)
            self._pipes[fd] = protocol

    async def _connect_pipes(self, waiter: asyncio.Future[None]) -> None:
        """The same where the program has replaced connect_read_pipe() or connect_write_pipe()."""
        loop = self._loop
        me: Any = self
        try:
            for fd, pipe in enumerate(self._files):
                if pipe is None:
                    continue
                if fd == 0:
                    protocol: Any = base_subprocess.WriteSubprocessPipeProto(me, fd)
                    await loop.connect_write_pipe(lambda p=protocol: p, pipe)
                else:
                    protocol = base_subprocess.ReadSubprocessPipeProto(me, fd)
                    await loop.connect_read_pipe(lambda p=protocol: p, pipe)
                self._pipes[fd] = protocol
                if self._closed:  # meanwhile
                    protocol.pipe.close()
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as exc:
            for pipe in self._files[fd + 1 :]:
                if pipe is not None:
                    pipe.close()
            if not waiter.done():
                waiter.set_exception(exc)
        else:
            self._begin(waiter)

    def _begin_stock(self) -> None:
        """For a stock protocol, whose connection_made() only makes its streams: at once."""
        if self._open_pipes:
            self._make_pipes()
        self._protocol.connection_made(self)
        self._pending_calls = None
        self._feed_stock()

    def _begin(self, waiter: asyncio.Future[None]) -> None:
        loop = self._loop
        loop.call_soon(self._protocol.connection_made, self)
        calls, self._pending_calls = self._pending_calls, None
        for callback, args in calls or ():
            loop.call_soon(callback, *args)
        loop.call_soon(self._started, waiter)

    def _started(self, waiter: asyncio.Future[None]) -> None:
        """connection_made() and what came before it have run."""
        self._feed_stock()
        if not waiter.done():
            waiter.set_result(None)

    def _feed_stock(self) -> None:
        """What comes out of the pipes goes into the StreamReaders of a stock protocol in C."""
        protocol = self._protocol
        if (
            self._open_pipes
            and type(protocol) is StreamProtocol
            and getattr(protocol.pipe_data_received, "__func__", None) is STOCK_RECEIVE
        ):
            for fd, name in ((1, "stdout"), (2, "stderr")):
                pipe = self.get_pipe_transport(fd)
                if type(pipe) is _core.ReadPipeTransport:
                    pipe._feed(protocol, name)
                    self._fed.append(pipe)

    def _call(self, callback: Any, *args: Any) -> None:
        if self._pending_calls is not None:
            self._pending_calls.append((callback, args))
        else:
            self._loop.call_soon(callback, *args)

    def _pipe_data_received(self, fd: int, data: bytes) -> None:
        self._call(self._protocol.pipe_data_received, fd, data)

    def _pipe_connection_lost(self, fd: int, exc: BaseException | None) -> None:
        self._open_pipes -= 1
        self._call(self._protocol.pipe_connection_lost, fd, exc)
        self._try_finish()

    def _process_exited(self, returncode: int) -> None:
        if self._loop.get_debug():
            logger.info("%r exited with return code %r", self, returncode)
        self._returncode = returncode
        if self._proc.returncode is None:
            self._proc.returncode = returncode  # or its __del__ would warn of a running child
        if (
            type(self._protocol) is StreamProtocol
            and not self._pipes
            and self._pending_calls is None
        ):
            # Its methods only note what they are told: it need not wait for the next batch.
            self._protocol.process_exited()
            self._call_connection_lost(None)
        else:
            self._call(self._protocol.process_exited)
            self._try_finish()
        waiters, self._exit_waiters = self._exit_waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(returncode)

    def _try_finish(self) -> None:
        if self._returncode is not None and self._open_pipes == 0:
            self._call(self._call_connection_lost, None)

    def _call_connection_lost(self, exc: BaseException | None) -> None:
        try:
            self._protocol.connection_lost(exc)
        finally:
            self._loop = self._proc = self._protocol = None

    async def _wait(self) -> int:
        """The returncode, once the child has exited."""
        if self._returncode is not None:
            return self._returncode
        waiter = self._loop.create_future()
        self._exit_waiters.append(waiter)
        return int(await waiter)


class ProcessMixin:
    """The part of Loop that makes and watches children."""

    async def _make_subprocess_transport(
        self: Any,
        protocol: Any,
        args: Any,
        shell: bool,
        stdin: Any,
        stdout: Any,
        stderr: Any,
        bufsize: int,
        extra: dict[str, Any] | None = None,
        **options: Any,
    ) -> Any:
        """The transport of a new child, once connection_made has run."""
        if not own_watcher():
            return await super()._make_subprocess_transport(  # type: ignore[misc]
                protocol, args, shell, stdin, stdout, stderr, bufsize, extra, **options
            )
        transport = SubprocessTransport(
            self, protocol, args, shell, stdin, stdout, stderr, bufsize, extra, **options
        )
        if self._debug:
            program = args if isinstance(args, (bytes, str)) else args[0]
            logger.debug("process %r created: pid %s", program, transport.get_pid())
        process = transport._proc
        try:
            self._watch_child(transport, process)
        except BaseException:
            transport.close()
            with process:  # its end, and that of its pipes
                pass
            raise
        try:
            if type(protocol) is StreamProtocol and (
                transport._open_pipes == 0 or connects_stock(self)
            ):
                transport._begin_stock()
                await one_turn()
                return transport
            waiter = self.create_future()
            if transport._open_pipes == 0:
                transport._begin(waiter)
            elif connects_stock(self):
                transport._make_pipes()
                transport._begin(waiter)
            else:
                self.create_task(transport._connect_pipes(waiter))
            await waiter
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException:
            transport.close()
            await transport._wait()
            raise
        return transport

    def _watch_child(
        self: Any, transport: SubprocessTransport, process: subprocess.Popen[bytes]
    ) -> None:
        """Have transport._process_exited() called when the child has exited."""
        try:
            fd = os.pidfd_open(process.pid)
            try:
                self._add_reader(fd, self._child_exited, fd, transport, process)
            except BaseException:
                os.close(fd)
                raise
        except (AttributeError, OSError):  # an old kernel, a sandbox, no descriptor left
            threading.Thread(
                target=self._wait_for_child,
                args=(transport, process),
                name=f"waitpid-{process.pid}",
                daemon=True,
            ).start()
        else:
            self._children[fd] = process

    def _child_exited(
        self: Any, fd: int, transport: SubprocessTransport, process: subprocess.Popen[bytes]
    ) -> None:
        """The pidfd is readable."""
        returncode = reap(process, os.WNOHANG)
        if returncode is not None:
            del self._children[fd]
            os.close(fd)  # the kernel forgets it
            self._remove_reader(fd)
            transport._process_exited(returncode)

    def _wait_for_child(
        self: Any, transport: SubprocessTransport, process: subprocess.Popen[bytes]
    ) -> None:
        """The same in a thread of its own."""
        returncode = reap(process)
        try:
            self.call_soon_threadsafe(transport._process_exited, returncode)
        except RuntimeError:  # closed meanwhile
            logger.warning("Loop %r that handles pid %r is closed", self, process.pid)

    def _children_close(self: Any) -> None:
        """The loop closes. Who still runs is left alone; its Popen object knows of it."""
        for fd, process in self._children.items():
            os.close(fd)
            if process.poll() is None:
                logger.warning("Loop %r that handles pid %r is closed", self, process.pid)
        self._children.clear()

"""The Loop class: the C core, and under it asyncio's own loop for what happens once per connection.

Everything that runs per callback, per packet or per connection accepted is in `_core`. This module
holds what runs once per run (setting the scene, signals), once per program, or delegates. Methods
that are not named here and not in `_core` are asyncio's own code on our descriptor
watchers, so they behave exactly as the running Python has them.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import types
import warnings
import weakref
from asyncio import coroutines, events, trsock, unix_events
from asyncio.log import logger
from typing import Any, NamedTuple

from . import _core, _support
from .connect import ConnectMixin
from .process import ProcessMixin
from .queues import ReadyAttribute, ScheduledAttribute, SelectorAttribute
from .server import ServerMixin
from .tls import TLSMixin


class Wakeup(NamedTuple):
    """A descriptor of signal.set_wakeup_fd(), and the loop it belongs to if it is one of ours."""

    fd: int
    loop: Loop | None


# The open loops by the descriptor that signals are written to.
_wakeup_loops: weakref.WeakValueDictionary[int, Loop] = weakref.WeakValueDictionary()


def _after_fork() -> None:
    """In a forked child: its signals are none of its parent's business."""
    for loop in list(_wakeup_loops.values()):
        loop._signals_after_fork()


os.register_at_fork(after_in_child=_after_fork)


# What a socket does in its own way if its class replaces one of them.
_SOCKET_METHODS = {
    name: getattr(socket.socket, name)
    for name in ("send", "sendto", "recvfrom", "fileno", "getsockname", "close")
}


def _is_plain_datagram_socket(sock: Any) -> bool:
    """Whether the C transport does what this object would do. A class that sends or receives in its
    own way (proxies, mocks) and other kinds of sockets are for asyncio's own transport."""
    kind = type(sock)
    return (
        all(getattr(kind, name, None) is stock for name, stock in _SOCKET_METHODS.items())
        and sock.type == socket.SOCK_DGRAM
        and sock.family in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX)
    )


# misc: create_server() and create_unix_server() are overloads in typeshed, one function each here.
class Loop(  # type: ignore[misc]
    _core.Loop, ConnectMixin, ServerMixin, TLSMixin, ProcessMixin, asyncio.SelectorEventLoop
):
    """An asyncio event loop in C on libuv. See asyncio.AbstractEventLoop for the methods."""

    def __init__(self) -> None:
        # asyncio's __init__ is not called: it would make a selector, a socket pair and two queues
        # that the C core has in its own way. These are the attributes that its methods use.
        self._internal_fds = 0
        self._thread_id = None
        self._exception_handler = None
        self._default_executor = None
        self._executor_shutdown_called = False
        self._asyncgens = weakref.WeakSet()
        self._asyncgens_shutdown_called = False
        self._coroutine_origin_tracking_enabled = False
        self._transports = weakref.WeakValueDictionary()
        self._signal_handlers: dict[int, events.Handle] = {}
        self._unix_server_sockets: dict[socket.socket, int] = {}
        self._listeners: dict[socket.socket, _core.Listener] = {}
        self._children: dict[int, subprocess.Popen[bytes]] = {}
        self._forward_fd = -1
        self._wakeup: Wakeup | None = None  # what the wakeup fd was before this run
        self._debug = coroutines._is_debug_mode()
        if threading.current_thread() is threading.main_thread():
            self._signals_open()

    # ---- running -------------------------------------------------------------------------------

    def run_forever(self) -> None:
        """Run until stop() is called. RuntimeError if this loop or another runs in this thread."""
        self._run_forever_setup()
        try:
            if isinstance(self._run_once, types.BuiltinMethodType):
                self._run()
                return
            while True:  # a program has put a _run_once() of its own there
                self._run_once()
                if self._stopping:
                    break
        finally:
            self._run_forever_cleanup()

    def _run_forever_setup(self) -> None:
        """The scene that run_forever() sets; with _run_once() the interface of asyncio 3.13 for
        programs that run the loop from within another one."""
        self._check_closed()
        self._check_running()
        self._set_coroutine_origin_tracking(self._debug)
        self._wakeup = self._signals_begin()
        self._old_agen_hooks = sys.get_asyncgen_hooks()
        self._thread_id = threading.get_ident()
        sys.set_asyncgen_hooks(
            firstiter=self._asyncgen_firstiter_hook, finalizer=self._asyncgen_finalizer_hook
        )
        events._set_running_loop(self)

    def _run_forever_cleanup(self) -> None:
        self._stopping = False
        self._thread_id = None
        events._set_running_loop(None)
        self._set_coroutine_origin_tracking(False)
        if self._old_agen_hooks is not None:
            sys.set_asyncgen_hooks(*self._old_agen_hooks)
            self._old_agen_hooks = None
        self._signals_end(self._wakeup)
        self._wakeup = None

    def close(self) -> None:
        """Close the loop and every transport on it. RuntimeError while it runs."""
        if self.is_running():
            raise RuntimeError("Cannot close a running event loop")
        if self.is_closed():
            return
        if self._debug:
            logger.debug("Close %r", self)
        self._signals_close()
        self._children_close()
        self._close()
        self._executor_shutdown_called = True
        executor = self._default_executor
        if executor is not None:
            self._default_executor = None
            executor.shutdown(wait=False)

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """Wait until the default executor's threads have ended, at most timeout seconds.

        After that a RuntimeWarning is issued and the threads are left alone.
        """
        self._executor_shutdown_called = True
        executor = self._default_executor
        if executor is None:
            return
        future = self.create_future()
        thread = threading.Thread(target=self._do_shutdown, args=(future,))
        thread.start()
        done, _ = await asyncio.wait([future], timeout=timeout)
        if done:
            thread.join()
            future.result()
            return
        warnings.warn(
            # asyncio's text, letter by letter: programs filter warnings by it
            f"The executor did not finishing joining its threads within {timeout} seconds.",
            RuntimeWarning,
            stacklevel=2,
        )
        executor.shutdown(wait=False)

    # ---- what others look at -------------------------------------------------------------------

    _ready: Any = ReadyAttribute()
    _scheduled: Any = ScheduledAttribute()
    _selector: Any = SelectorAttribute()

    # ---- names ---------------------------------------------------------------------------------

    async def _getaddrinfo(
        self,
        host: Any,
        port: Any,
        *,
        family: int = 0,
        type: int = 0,
        proto: int = 0,
        flags: int = 0,
    ) -> Any:
        """getaddrinfo() of what the C core does not answer at once."""
        nul: Any = b"\0" if isinstance(host, bytes) else "\0"
        if isinstance(host, (str, bytes)) and nul in host:
            raise ValueError("embedded null character in host")  # some Pythons cut it short there
        if self._is_numeric(host, port) and not self._debug:
            return socket.getaddrinfo(host, port, family, type, proto, flags)
        lookup = self._getaddrinfo_debug if self._debug else socket.getaddrinfo
        return await self.run_in_executor(None, lookup, host, port, family, type, proto, flags)

    _getaddrinfo.__name__, _getaddrinfo.__qualname__ = "getaddrinfo", "Loop.getaddrinfo"

    async def getnameinfo(self, sockaddr: Any, flags: int = 0) -> tuple[str, str]:
        """socket.getnameinfo() in a thread; at once when only numbers are asked for."""
        numeric = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV
        host = sockaddr[0] if isinstance(sockaddr, tuple) and sockaddr else None
        if flags & numeric == numeric and self._is_numeric(host, None) and host is not None:
            return socket.getnameinfo(sockaddr, flags)
        return await self.run_in_executor(None, socket.getnameinfo, sockaddr, flags)

    # ---- signals -------------------------------------------------------------------------------
    # Python writes the numbers of signals to a socket that the loop watches. That is set up
    # whenever the loop runs in the main thread, so that handlers of signal.signal() run, too, while
    # it sleeps.

    def _signals_open(self) -> None:
        if self._csock is None:
            self._ssock, self._csock = socket.socketpair()
            self._ssock.setblocking(False)
            self._csock.setblocking(False)
            self._watch_signals(self._ssock.fileno())
            self._internal_fds += 1
            _wakeup_loops[self._csock.fileno()] = self

    def _signals_after_fork(self) -> None:
        """New sockets under the old numbers: the old ones are shared with the parent."""
        for old, new in zip((self._ssock, self._csock), socket.socketpair(), strict=True):
            new.setblocking(False)
            os.dup2(new.fileno(), old.fileno(), inheritable=False)
            new.close()

    def _signals_begin(self) -> Wakeup | None:
        """Watch for signals; what the wakeup fd was before, None in other threads."""
        if threading.current_thread() is not threading.main_thread():
            return None
        self._signals_open()
        try:
            fd = signal.set_wakeup_fd(self._csock.fileno(), warn_on_full_buffer=False)
        except ValueError:  # a sub-interpreter has no signals
            return None
        loop = _wakeup_loops.get(fd)
        self._forward_fd = fd if fd != -1 and loop is None else -1
        return Wakeup(fd, loop)

    def _signals_end(self, old: Wakeup | None) -> None:
        if old is None:
            return
        self._forward_fd = -1
        ours = -1 if self._csock is None else self._csock.fileno()
        fd = old.fd
        if self._signal_handlers and fd in (-1, ours):
            return  # a signal that arrives while the loop rests is handled when it runs again
        if fd == ours or (old.loop is not None and old.loop.is_closed()):
            fd = -1  # our last handler was removed meanwhile, or the number is somebody else's now
        try:
            current = signal.set_wakeup_fd(fd, warn_on_full_buffer=False)
        except (ValueError, OSError):  # closed by its owner
            current = signal.set_wakeup_fd(-1)
        if current != ours:  # the program has set its own meanwhile
            signal.set_wakeup_fd(current, warn_on_full_buffer=False)

    def _signals_arrived(self, data: bytes) -> None:
        """Called by the C core with what Python wrote to the wakeup fd."""
        if self._forward_fd != -1:  # the program's own, whose place we took
            with contextlib.suppress(OSError):
                os.write(self._forward_fd, data)
        for signum in data:
            handle = self._signal_handlers.get(signum)
            if handle is not None and not handle.cancelled():
                self.call_soon(handle._run)

    def _signals_close(self) -> None:
        if self._signal_handlers and sys.is_finalizing():
            warnings.warn(
                f"Closing the loop {self!r} on interpreter shutdown stage, "
                "skipping signal handlers removal",
                ResourceWarning,
                stacklevel=1,
                source=self,
            )
            self._signal_handlers.clear()
        for signum in list(self._signal_handlers):
            self.remove_signal_handler(signum)
        running = events._get_running_loop()
        if isinstance(running, Loop) and threading.current_thread() is threading.main_thread():
            running._signals_begin()  # removing our last handler has switched it off
        if self._csock is not None:
            _wakeup_loops.pop(self._csock.fileno(), None)
            self._unwatch_signals(self._ssock.fileno())
            self._ssock.close()
            self._csock.close()
            self._ssock = self._csock = None
            self._internal_fds -= 1

    def add_signal_handler(self, sig: int, callback: Any, *args: Any) -> None:  # type: ignore[override]
        """Call callback(*args) in the loop when the process gets the signal. Main thread only.

        TypeError for coroutines, ValueError for a number that is no signal, RuntimeError for one
        that cannot be caught or in another thread.
        """
        self._check_closed()
        self._signals_open()
        super().add_signal_handler(sig, callback, *args)

    def remove_signal_handler(self, sig: int) -> bool:
        """True if there was a handler."""
        removed = super().remove_signal_handler(sig)
        if removed and not self._signal_handlers and self.is_running():
            signal.set_wakeup_fd(self._csock.fileno(), warn_on_full_buffer=False)
        return removed

    # ---- transports ----------------------------------------------------------------------------

    def _make_socket_transport(
        self, sock: Any, protocol: Any, waiter: Any = None, *, extra: Any = None, server: Any = None
    ) -> Any:
        return _core.make_stream(self, sock, protocol, waiter, extra, server)

    def _make_read_pipe_transport(
        self, pipe: Any, protocol: Any, waiter: Any = None, extra: Any = None
    ) -> Any:
        return _core.make_read_pipe(self, pipe, protocol, waiter, extra)

    def _make_write_pipe_transport(
        self, pipe: Any, protocol: Any, waiter: Any = None, extra: Any = None
    ) -> Any:
        return _core.make_write_pipe(self, pipe, protocol, waiter, extra)

    def _make_datagram_transport(
        self, sock: Any, protocol: Any, address: Any = None, waiter: Any = None, extra: Any = None
    ) -> Any:
        if not _is_plain_datagram_socket(sock):
            own: Any = super()
            return own._make_datagram_transport(sock, protocol, address, waiter, extra)
        info = dict(extra or ())
        info["socket"] = trsock.TransportSocket(sock)
        info["sockname"] = sock.getsockname()
        if "peername" not in info:
            try:
                info["peername"] = sock.getpeername()
            except OSError:
                info["peername"] = None
        transport = _core.make_datagram(self, sock, protocol, address, waiter, info)
        _support.hold_socket(sock)
        return transport

    async def _sock_sendfile_native(self, sock: Any, file: Any, offset: int, count: Any) -> int:
        """sendfile() to a socket. SendfileNotAvailableError where the kernel cannot."""
        if type(sock) is not socket.socket or not hasattr(unix_events.os, "sendfile"):
            return await super()._sock_sendfile_native(sock, file, offset, count)  # type: ignore[misc,no-any-return]
        if not hasattr(os, "sendfile"):  # a program has taken it away
            raise asyncio.SendfileNotAvailableError("os.sendfile() is not available")
        try:
            fd = file.fileno()
            size = os.fstat(fd).st_size
        except (AttributeError, OSError):  # io.UnsupportedOperation is an OSError
            raise asyncio.SendfileNotAvailableError("not a regular file") from None
        if not (count or size):
            return 0
        return await self._sendfile(sock, fd, offset, count or 0)

    async def _sendfile_native(self, transp: Any, file: Any, offset: int, count: Any) -> int:
        """sendfile() to the socket of a transport, once what it has queued is sent."""
        resume_reading = transp.is_reading()
        transp.pause_reading()
        await transp._make_empty_waiter()
        try:
            # A socket object of its own: sock_sendfile watches the descriptor, which the
            # transport's own one would refuse.
            with socket.socket(fileno=os.dup(transp._sock_fd)) as sock:
                sock.setblocking(False)
                return await self.sock_sendfile(sock, file, offset, count, fallback=False)
        finally:
            transp._reset_empty_waiter()
            if resume_reading:
                transp.resume_reading()

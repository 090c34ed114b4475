"""loop._ready, loop._scheduled and loop._selector: the C core under asyncio's private names.

asyncio's loop is a deque, a heap and a selector, and programs that nest runs of the loop
(nest_asyncio), count what waits or step through it use them by these names. Nothing here runs in a
program that does not look.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any

from ._support import run_handle

if TYPE_CHECKING:
    from .loop import Loop


class Ready(Collection[asyncio.Handle]):
    """loop._ready: the handles that run next, first to last; append() and popleft() them."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self.append = loop._ready_append
        self.popleft = loop._ready_popleft

    def __len__(self) -> int:
        return self._loop._queue_sizes()[0]

    def __iter__(self) -> Iterator[asyncio.Handle]:
        return iter(self._loop._ready_list())

    def __contains__(self, handle: object) -> bool:
        return handle in self._loop._ready_list()

    def __getitem__(self, index: int) -> asyncio.Handle:
        return self._loop._ready_list()[index]

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._loop._ready_list()!r}>"


class Watched:
    """loop._selector: the descriptors that add_reader() and add_writer() watch, with the get_key(),
    get_map() and select() of a selectors.BaseSelector."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop

    def get_key(self, fileobj: Any) -> selectors.SelectorKey:
        """The SelectorKey of a descriptor or an object with fileno(). KeyError if not watched."""
        fd = fileobj if isinstance(fileobj, int) else fileobj.fileno()
        reader, writer = self._loop._watched(fd)
        events = (selectors.EVENT_READ if reader else 0) | (selectors.EVENT_WRITE if writer else 0)
        if not events:
            raise KeyError(f"{fileobj!r} is not registered")
        return selectors.SelectorKey(fileobj, fd, events, (reader, writer))

    def get_map(self) -> dict[int, selectors.SelectorKey]:
        """All of them, by descriptor."""
        return {fd: self.get_key(fd) for fd in self._loop._watched_fds()}

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait for events, at most timeout seconds, and serve them: callbacks of transports are
        called, those of add_reader() join loop._ready. So there is nothing left to return."""
        loop = self._loop
        if loop._wakeup is not None:  # run_forever() has set the scene
            loop._poll(timeout)
            return []
        wakeup = loop._signals_begin()
        try:
            loop._poll(timeout)
        finally:
            loop._signals_end(wakeup)
        return []


class ReadyAttribute:
    """Makes the view; the loop does not keep it."""

    def __get__(self, loop: Loop, owner: type) -> Any:
        return Ready(loop)


class Scheduled(list[asyncio.TimerHandle]):
    """loop._scheduled: a copy of the heap of timers, a list as heapq wants it. A timer that is
    appended is scheduled; one leaves the loop's own heap when cancelled or put into loop._ready."""

    def __init__(self, loop: Loop) -> None:
        super().__init__(loop._scheduled_list())
        self._loop = loop

    def append(self, timer: asyncio.TimerHandle) -> None:
        """As loop.call_at() does."""
        self._loop.call_at(timer.when(), run_handle, timer)
        super().append(timer)


class ScheduledAttribute:
    """A new copy each time."""

    def __get__(self, loop: Loop, owner: type) -> Any:
        return Scheduled(loop)


class SelectorAttribute:
    """None once the loop is closed, as on asyncio."""

    def __get__(self, loop: Loop, owner: type) -> Any:
        return None if loop.is_closed() else Watched(loop)

"""Names of hosts: resolvers, and the cache of a connector."""

from __future__ import annotations

import asyncio
import importlib
import socket
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from .abc import AbstractResolver, ResolveResult
from .exceptions import ClientConnectionError

if TYPE_CHECKING:
    from .tracing import Traces

__all__ = ("AsyncResolver", "DefaultResolver", "ThreadedResolver")

# What getaddrinfo() knows of AI_ADDRCONFIG: only families this machine has addresses of.
_FLAGS = socket.AI_ADDRCONFIG & getattr(socket, "AI_MASK", ~0)
_NUMERIC = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV


class ThreadedResolver(AbstractResolver):
    """The system's resolver: loop.getaddrinfo(), which is libuv's thread pool."""

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self._loop = loop or asyncio.get_running_loop()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The addresses of a host. Raises socket.gaierror, an OSError, if there are none."""
        infos = await self._loop.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, family=family, flags=_FLAGS
        )
        results: list[ResolveResult] = []
        for kind, _, proto, _, address in infos:
            if kind not in (socket.AF_INET, socket.AF_INET6):
                continue
            found = str(address[0])
            if kind == socket.AF_INET6 and len(address) > 3 and address[3]:
                # A link-local address means nothing without its interface.
                found, _ = await self._loop.getnameinfo(
                    address, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV
                )
            results.append(
                ResolveResult(
                    hostname=host,
                    host=found,
                    port=int(address[1]),
                    family=kind,
                    proto=proto,
                    flags=_NUMERIC,
                )
            )
        return results

    async def close(self) -> None:
        """Nothing to do."""


class AsyncResolver(AbstractResolver):
    """Names looked up by the package aiodns, which asks the name servers itself: no thread waits.

    Arguments behind `loop` are those of aiodns.DNSResolver (nameservers=...). RuntimeError if
    aiodns is not installed. Unlike in aiohttp it is never the default: what the system resolves
    (its hosts file, its services) is not what aiodns does.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop | None = None, *args: Any, **kwargs: Any
    ) -> None:
        try:
            aiodns: Any = importlib.import_module("aiodns")
        except ImportError:
            raise RuntimeError("Resolver requires aiodns library") from None
        self._loop = loop or asyncio.get_running_loop()
        self._error: type[Exception] = aiodns.error.DNSError
        self._resolver: Any = aiodns.DNSResolver(*args, **kwargs)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The addresses of a host. Raises OSError if there are none."""
        try:
            found = await self._resolver.getaddrinfo(
                host, port=port, type=socket.SOCK_STREAM, family=family, flags=_FLAGS
            )
            results = [await self._result(host, port, node) for node in found.nodes]
        except self._error as exc:
            text = exc.args[1] if len(exc.args) > 1 else "DNS lookup failed"
            raise OSError(None, text) from exc
        if not results:
            raise OSError(None, "DNS lookup failed")
        return results

    async def _result(self, host: str, port: int, node: Any) -> ResolveResult:
        address = node.addr
        found = address[0]
        if node.family == socket.AF_INET6 and len(address) > 3 and address[3]:
            # A link-local address means nothing without its interface.
            named = await self._resolver.getnameinfo(
                (found.decode("ascii"), *address[1:]), socket.NI_NUMERICHOST | socket.NI_NUMERICSERV
            )
            found = named.node
        return ResolveResult(
            hostname=host,
            host=found.decode("ascii") if isinstance(found, bytes) else found,
            port=int(address[1]) or port,
            family=node.family,
            proto=0,
            flags=_NUMERIC,
        )

    async def close(self) -> None:
        """Look-ups under way are given up."""
        resolver, self._resolver = self._resolver, None
        if resolver is None:
            return
        if hasattr(resolver, "close"):
            await resolver.close()
        else:
            resolver.cancel()


DefaultResolver = ThreadedResolver


class DNSCache:
    """Addresses by (host, port), for `ttl` seconds (None: for ever), at most `max_size` hosts; the
    one not used for longest goes first. Every answer begins with the next of a host's addresses.
    """

    def __init__(self, ttl: float | None, max_size: int) -> None:
        self._ttl = ttl
        self._max_size = max_size
        # addresses, which comes first the next time, when it expires
        self._entries: OrderedDict[
            tuple[str, int], tuple[list[ResolveResult], int, float | None]
        ] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, key: tuple[str, int], addresses: list[ResolveResult]) -> None:
        """Note an answer."""
        expires = None if self._ttl is None else time.monotonic() + self._ttl
        self._entries[key] = (addresses, 0, expires)
        self._entries.move_to_end(key)
        while len(self._entries) > self._max_size:
            self._entries.popitem(last=False)

    def get(self, key: tuple[str, int]) -> list[ResolveResult] | None:
        """The addresses, or None if they are not known or too old."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        addresses, first, expires = entry
        if expires is not None and expires < time.monotonic():
            return None
        if addresses:
            self._entries[key] = (addresses, (first + 1) % len(addresses), expires)
        self._entries.move_to_end(key)
        return addresses[first:] + addresses[:first]

    def only(self, key: tuple[str, int]) -> str | None:
        """The address of a host that has one; None if there are more, or get() knows none."""
        entry = self._entries.get(key)
        if entry is None or len(entry[0]) != 1 or entry[0][0]["port"] != key[1]:
            return None
        found = self.get(key)
        return found[0]["host"] if found else None

    def remove(self, key: tuple[str, int]) -> None:
        """Forget a host."""
        self._entries.pop(key, None)

    def clear(self) -> None:
        """Forget all."""
        self._entries.clear()


class CachingResolver:
    """A resolver behind a cache; who asks for the same host at the same time waits for the same
    lookup, which goes on when one of them is cancelled.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        resolver: AbstractResolver,
        family: socket.AddressFamily,
        cache: DNSCache | None,
        closed: bool = False,
    ) -> None:
        self._loop = loop
        self._resolver = resolver
        self._family = family
        self._cache = cache
        self._lookups: dict[tuple[str, int], asyncio.Task[list[ResolveResult]]] = {}
        self.hits = self.misses = 0  # of the cache; who waits for a lookup under way hits it
        self._closed = closed

    def known_address(self, host: str, port: int) -> str | None:
        """The address of a host that has only one, if it is in the cache."""
        if self._closed or self._cache is None:
            return None
        found = self._cache.only((host, port))
        self.hits += found is not None
        return found

    async def resolve(
        self, host: str, port: int, traces: Traces | None = None
    ) -> list[ResolveResult]:
        """The addresses of a host. Raises what the resolver raises: OSError."""
        if self._closed:
            raise ClientConnectionError("Connector is closed")
        if self._cache is None:
            self.misses += 1
            return await self._ask(host, port, traces)
        key = (host, port)
        addresses = self._cache.get(key)
        lookup = self._lookups.get(key)
        if addresses is not None or lookup is not None:
            self.hits += 1
            if traces is not None:
                await traces.send("dns_cache_hit", host)
            if addresses is not None:
                return addresses
        if lookup is None:
            self.misses += 1
            lookup = self._loop.create_task(self._look_up(key, self._cache, traces))
            self._lookups[key] = lookup
            lookup.add_done_callback(lambda done: self._looked_up(key, done))
        try:
            found = await asyncio.shield(lookup)
        except asyncio.CancelledError:
            if lookup.cancelled():  # close() did
                raise ClientConnectionError("Connector is closed") from None
            raise
        # An answer that is not kept (max_size 0) is still an answer.
        return self._cache.get(key) or found

    async def _ask(self, host: str, port: int, traces: Traces | None) -> list[ResolveResult]:
        if traces is None:
            return await self._resolver.resolve(host, port, family=self._family)
        await traces.send("dns_resolvehost_start", host)
        addresses = await self._resolver.resolve(host, port, family=self._family)
        await traces.send("dns_resolvehost_end", host)
        return addresses

    async def _look_up(
        self, key: tuple[str, int], cache: DNSCache, traces: Traces | None
    ) -> list[ResolveResult]:
        if traces is not None:
            await traces.send("dns_cache_miss", key[0])
        addresses = await self._ask(*key, traces)
        cache.add(key, addresses)
        return addresses

    def _looked_up(self, key: tuple[str, int], lookup: asyncio.Task[list[ResolveResult]]) -> None:
        if self._lookups.get(key) is lookup:
            del self._lookups[key]
        if not lookup.cancelled():
            lookup.exception()  # somebody heard of it, or nobody cares any more

    async def close(self) -> None:
        """Lookups in flight are given up: who waits for them gets a ClientConnectionError."""
        self._closed = True
        lookups = list(self._lookups.values())
        for lookup in lookups:
            lookup.cancel()
        if lookups:
            await asyncio.wait(lookups)

"""Certificates of authorities, read at the first handshake instead of at aiohttp's import.

aiohttp makes two default contexts while it is imported, and each reads the certificates of all
authorities: a fifth of the time that `import aiohttp` takes, also for programs that speak no TLS.
Where they are (SSL_CERT_FILE, SSL_CERT_DIR) is what the environment says at the import.
"""

from __future__ import annotations

import contextlib
import os
import ssl
import threading
from collections.abc import Iterator
from typing import Any

__all__ = ("read_later",)

PLAIN = ssl.SSLContext
# What can be asked of a context that has no certificates yet: aiohttp and create_default_context()
# do so while they make it. Whatever else is asked of it, it reads them first.
SETTINGS = frozenset(
    "check_hostname keylog_filename options verify_flags verify_mode "
    "set_alpn_protocols _set_alpn_protocols".split()
)
# How OpenSSL finds them; asked once, for Python looks at the files at each call.
PLACES = ssl.get_default_verify_paths()[2:]
_lock = threading.RLock()  # a signal handler may come here while the certificates are read


class _LaterContext(PLAIN):
    """A context until it is used: from then on it is a plain ssl.SSLContext."""

    def __getattribute__(self, name: str) -> Any:
        if name not in SETTINGS and not name.startswith("__"):
            _read(self)
        return object.__getattribute__(self, name)  # of whichever class it is by now


_LaterContext.__name__ = _LaterContext.__qualname__ = PLAIN.__name__
_LaterContext.__module__ = PLAIN.__module__


def _places() -> list[str]:
    """The file and the directory that OpenSSL would read now."""
    file_variable, file, directory_variable, directory = PLACES
    return [os.environ.get(file_variable, file), os.environ.get(directory_variable, directory)]


def _read(context: ssl.SSLContext) -> None:
    with _lock:
        if type(context) is not _LaterContext:  # another thread was first
            return
        noted = context.__dict__["_places"]
        if noted == _places():
            super(PLAIN, context).set_default_verify_paths()
        else:
            for place in ((noted[0], None), (None, noted[1])):
                with contextlib.suppress(OSError):  # a place may be missing, as there
                    PLAIN.load_verify_locations(context, *place)
        context.__dict__.pop("_places", None)
        context.__class__ = PLAIN  # type: ignore[assignment]


@contextlib.contextmanager
def read_later() -> Iterator[None]:
    """Within, contexts that are told to read the default certificates do it when they are used.

    Only what this thread does is meant: others may make contexts meanwhile.
    """
    if ssl.SSLContext is not PLAIN or "set_default_verify_paths" in PLAIN.__dict__:
        yield  # somebody (truststore) has put something of his own there
        return
    thread = threading.get_ident()

    def set_default_verify_paths(self: ssl.SSLContext) -> None:
        if type(self) is PLAIN and threading.get_ident() == thread:
            self.__dict__["_places"] = _places()
            self.__class__ = _LaterContext
        else:
            super(PLAIN, self).set_default_verify_paths()

    PLAIN.set_default_verify_paths = set_default_verify_paths  # type: ignore[method-assign]
    try:
        yield
    finally:
        del PLAIN.set_default_verify_paths

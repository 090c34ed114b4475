"""What is imported with uvolt.http, and what only by programs that need it."""

from __future__ import annotations

import support

READING = """
import sys
from uvolt import http

async def answer(reader, writer):
    await reader.readuntil(b"\\r\\n\\r\\n")
    body = b'{"a": 1}'
    writer.write(b"HTTP/1.1 200 OK\\r\\nContent-Type: application/json\\r\\nContent-Length: 8\\r\\n"
                 b"Set-Cookie: a=b\\r\\nConnection: close\\r\\n\\r\\n" + body)
    await writer.drain()
    writer.close()

async def main():
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    async with http.ClientSession(timeout=http.ClientTimeout(total=60)) as session:
        before = set(sys.modules)
        async with session.get(url) as response:
            assert await response.json() == {"a": 1}
        assert set(sys.modules) <= before | {"encodings.idna", "stringprep"}, (
            "the first request imports", set(sys.modules) - before)
        not_needed = {"tempfile", "shutil", "mimetypes", "uuid", "netrc", "urllib.request"}
        assert not not_needed & set(sys.modules), not_needed & set(sys.modules)
        for name in ("payload", "multipart", "formdata", "digest", "hdrs", "bodies"):
            assert f"uvolt.http.{name}" not in sys.modules, name
        async with session.post(url, json={"b": 2}) as response:
            await response.read()
    server.close()

loop = new_loop()
loop.run_until_complete(main())
loop.close()
"""


def test_a_program_that_reads_imports_nothing_of_what_is_sent() -> None:
    support.script("uvolt", READING)


def test_names_are_whole_whenever_they_are_asked_for() -> None:
    """Imported with the package or later: dir(), import *, attributes, pickles are the same."""
    support.script(
        "uvolt",
        """
import pickle, sys, types
import uvolt.http as http
assert "uvolt.http.digest" not in sys.modules
assert set(http.__all__) <= set(dir(http))
space = {}
exec("from uvolt.http import *", space)
assert all(space[name] is getattr(http, name) for name in http.__all__)
assert isinstance(http.hdrs, types.ModuleType) and http.hdrs is sys.modules["uvolt.http.hdrs"]
assert pickle.loads(pickle.dumps(http.DigestAuthMiddleware)) is http.DigestAuthMiddleware
from uvolt.http import formdata, FormData
assert FormData is formdata.FormData is http.FormData
try:
    http.ClientSesion
except AttributeError as exc:
    assert str(exc) == "module 'uvolt.http' has no attribute 'ClientSesion'"
else:
    raise AssertionError
""",
    )

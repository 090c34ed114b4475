"""Class 6, bodies that grow when they are decoded: only what is read is decoded, and no more of it
than is asked for. The decoder's own rows are in test_decode.py and test_streamreader_coding.py."""

from __future__ import annotations

import gzip
import time
import zlib

import brotli
import pytest
import support
from http_support import answers, raw, response
from security_support import http, run
from test_client_redirects import moved

from uvolt import _core
from uvolt.http import exceptions as http_exceptions

MEBI = 1 << 20
MEMBER = gzip.compress(bytes(64 * MEBI), 9, mtime=0)
# Some 64 KiB for each 64 MiB; who decodes the whole needs seconds.
BOMBS = {
    "gzip": MEMBER * 64,
    "deflate": zlib.compress(bytes(256 * MEBI), 9),
    "br": brotli.compress(bytes(64 * MEBI), quality=5),
}
BOMBS = {name: data for name, data in BOMBS.items() if name in _core.http_codings}


def test_the_codings_that_are_built_in():
    assert {"gzip", "deflate"} <= set(BOMBS)


@pytest.mark.parametrize("end", ["release", "close", "leave the block"])
@pytest.mark.parametrize("coding", BOMBS)
def test_ten_bytes_of_a_bomb(coding, end):
    """Read ten bytes and go: what lies behind them is never decoded."""

    async def main():
        data = response(BOMBS[coding], Content_Encoding=coding)
        async with raw(answers(data)) as server, http.ClientSession() as session:
            begun = time.process_time()
            answer = await session.get(server.url, read_bufsize=2**16)
            assert await answer.content.read(10) == bytes(10)
            assert answer.content.total_bytes <= 4 * MEBI
            if end == "release":
                answer.release()
            elif end == "close":
                answer.close()
            else:
                async with answer:
                    pass
            assert answer.content.total_bytes <= 4 * MEBI
            assert time.process_time() - begun < 1 * support.SLOW

    run(main)


@pytest.mark.parametrize("status", [301, 303, 307])
@pytest.mark.parametrize("coding", BOMBS)
def test_a_bomb_behind_a_redirect(coding, status):
    """The body of a redirect is drained, not decoded."""

    async def main():
        first = moved(
            "/next",
            status,
            BOMBS[coding],
        )
        first = first.replace(b"\r\n", f"\r\nContent-Encoding: {coding}\r\n".encode(), 1)
        async with raw(answers(first, response(b"ok"))) as server:
            async with http.ClientSession() as session:
                begun = time.process_time()
                async with session.get(server.url) as answer:
                    assert await answer.read() == b"ok"
                assert time.process_time() - begun < 1 * support.SLOW

    run(main)


@pytest.mark.parametrize("coding", BOMBS)
@pytest.mark.parametrize("how", ["read(n)", "iter_chunked", "readany", "readline"])
def test_a_bomb_is_read_in_bounded_pieces(coding, how):
    """Each read gives no more than was asked for, or than the buffer holds."""

    async def main():
        data = response(BOMBS[coding], Content_Encoding=coding)
        async with raw(answers(data)) as server, http.ClientSession() as session:
            async with session.get(server.url, read_bufsize=2**16) as answer:
                content, seen = answer.content, 0
                if how == "readline":
                    with pytest.raises(http_exceptions.LineTooLong):
                        await content.readline()
                    return
                for _ in range(20):
                    if how == "read(n)":
                        piece = await content.read(1000)
                        assert len(piece) <= 1000
                    elif how == "iter_chunked":
                        piece = await anext(content.iter_chunked(5000))
                        assert len(piece) <= 5000
                    else:
                        piece = await content.readany()
                        assert len(piece) <= MEBI
                    seen += len(piece)
                assert content.total_bytes <= seen + 4 * MEBI

    run(main)


@pytest.mark.parametrize("layers", [6, 100, 1000])
@pytest.mark.parametrize("lines", [False, True])
def test_a_chain_of_codings(layers, lines):
    """More than five are an error, in one field or over many, before anything is decoded."""

    async def main():
        coding = "\r\nContent-Encoding: ".join(["gzip"] * min(layers, 100)) if lines else None
        data = response(MEMBER, Content_Encoding=coding or ", ".join(["gzip"] * layers))
        async with raw(answers(data)) as server, http.ClientSession() as session:
            begun = time.process_time()
            with pytest.raises(http.ClientError):
                async with session.get(server.url) as answer:
                    await answer.read()
            assert time.process_time() - begun < 1 * support.SLOW

    run(main)


def test_members_without_content():
    """A million empty gzip members: an error, not an hour."""

    async def main():
        empty = gzip.compress(b"", mtime=0) * 100_000
        data = response(empty, Content_Encoding="gzip")
        async with raw(answers(data)) as server, http.ClientSession() as session:
            begun = time.process_time()
            with pytest.raises(http.ClientPayloadError):
                async with session.get(server.url) as answer:
                    await answer.read()
            assert time.process_time() - begun < 2 * support.SLOW

    run(main)

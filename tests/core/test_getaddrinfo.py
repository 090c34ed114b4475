"""getaddrinfo and getnameinfo give what the socket module gives, errors included."""

from __future__ import annotations

import asyncio
import socket
import sys
import threading
import time

import pytest
import support

LITERALS = [
    "127.0.0.1",
    "0.0.0.0",
    "255.255.255.255",
    "192.0.2.1",
    "::1",
    "::",
    "2001:db8::1",
    "2001:DB8:0:0:0:0:0:1",
    "::ffff:192.0.2.1",
    "fe80::1%lo",
    "fe80::1%1",
    "::1%lo",
    "ff02::1%lo",
    # what the C library takes for a number although few people would
    "127.1",
    "0x7f000001",
    "2130706433",
    "0177.0.0.1",
    "1",
    "127.0.0.1 ",
    " 127.0.0.1",
    "127.0.0.256",
    "1.2.3.4.5",
    ":::1",
    "::1%nonesuch",
    "fe80::1%",
    "fe80::1%99999",
    "1:2:3:4:5:6:7:8:9",
    "",
    None,
    b"127.0.0.1",
    b"::1",
    bytearray(b"127.0.0.1"),
]
PORTS = [0, 80, 65535, "80", "http", None, b"80", "0", "65535"]
BAD_PORTS = ["65536", "-1", "", "nonesuch", 65536, -1, 70000, "80x", " 80", "0x50", 2**70, 1.5]


def ask(function, *args, **kwargs):
    """The answer, or the type of the error and its number."""
    try:
        return function(*args, **kwargs)
    except Exception as e:
        return type(e), getattr(e, "errno", None)


def both(loop, host, port, **kwargs):
    expected = ask(socket.getaddrinfo, host, port, **kwargs)
    got = ask(lambda: loop.run_until_complete(loop.getaddrinfo(host, port, **kwargs)))
    return got, expected


@pytest.mark.parametrize("host", LITERALS)
def test_literals(loop, host):
    for kwargs in (
        {},
        {"type": socket.SOCK_STREAM},
        {"type": socket.SOCK_DGRAM},
        {"type": socket.SOCK_RAW},
        {"family": socket.AF_INET, "type": socket.SOCK_STREAM},
        {"family": socket.AF_INET6, "type": socket.SOCK_STREAM},
        {"family": socket.AF_UNIX, "type": socket.SOCK_STREAM},
        {"type": socket.SOCK_STREAM, "proto": socket.IPPROTO_TCP},
        {"proto": socket.IPPROTO_UDP},
        {"type": socket.SOCK_STREAM, "proto": socket.IPPROTO_UDP},
        {"type": socket.SOCK_DGRAM, "proto": socket.IPPROTO_UDP},
        {"type": socket.SOCK_STREAM, "flags": socket.AI_PASSIVE},
        {"type": socket.SOCK_STREAM, "flags": socket.AI_NUMERICHOST},
        {"type": socket.SOCK_STREAM, "flags": socket.AI_NUMERICHOST | socket.AI_CANONNAME},
        {"type": socket.SOCK_STREAM, "flags": socket.AI_ADDRCONFIG},
        {
            "type": socket.SOCK_STREAM,
            "family": socket.AF_INET6,
            "flags": socket.AI_V4MAPPED | socket.AI_NUMERICHOST,
        },
    ):
        if not kwargs.get("flags", 0) & socket.AI_NUMERICHOST and not looks_numeric(host):
            continue  # would ask a name server
        got, expected = both(loop, host, 80, **kwargs)
        assert got == expected, (host, kwargs)


def looks_numeric(host):
    if host in (None, ""):
        return True
    try:
        socket.getaddrinfo(host, 0, flags=socket.AI_NUMERICHOST)
    except OSError:
        return False
    except TypeError:
        return True
    return True


@pytest.mark.parametrize("port", PORTS + BAD_PORTS)
def test_ports(loop, port):
    for host in ("127.0.0.1", "::1", None, "localhost"):
        for kwargs in (
            {"type": socket.SOCK_STREAM},
            {},
            {"type": socket.SOCK_DGRAM},
            {"type": socket.SOCK_STREAM, "flags": socket.AI_NUMERICSERV},
            {"type": socket.SOCK_STREAM, "flags": socket.AI_PASSIVE},
        ):
            got, expected = both(loop, host, port, **kwargs)
            assert got == expected, (host, port, kwargs)


def test_no_host_and_no_port(loop):
    got, expected = both(loop, None, None)
    assert got == expected
    assert expected[0] is socket.gaierror


def test_localhost(loop):
    for kwargs in ({}, {"type": socket.SOCK_STREAM}, {"family": socket.AF_INET}):
        got, expected = both(loop, "localhost", 80, **kwargs)
        assert got == expected


def test_canonical_name(loop):
    got, expected = both(loop, "localhost", 80, flags=socket.AI_CANONNAME)
    assert got == expected


def test_wrong_types(loop):
    for host in (1, 1.5, object(), [], ("127.0.0.1",)):
        got, expected = both(loop, host, 80)
        assert got == expected, host
    for kwargs in ({"family": "x"}, {"type": None}, {"proto": 1.5}, {"flags": "x"}):
        got, expected = both(loop, "127.0.0.1", 80, **kwargs)
        assert got == expected, kwargs
    for port in ([], object(), ("80",)):
        got, expected = both(loop, "127.0.0.1", port)
        assert got == expected, port


def test_signature(loop):
    for call in (
        lambda: loop.getaddrinfo(),
        lambda: loop.getaddrinfo("127.0.0.1"),
        lambda: loop.getaddrinfo("127.0.0.1", 80, socket.AF_INET),
        lambda: loop.getaddrinfo("127.0.0.1", 80, nonsense=1),
    ):
        with pytest.raises(TypeError):
            call()
    assert loop.run_until_complete(loop.getaddrinfo(host="127.0.0.1", port=1))


def test_bad_family(loop):
    for family in (9999, -5, socket.AF_UNIX):
        got, expected = both(loop, "127.0.0.1", 80, family=family)
        assert got == expected
    for kind in (9999, -5):
        got, expected = both(loop, "127.0.0.1", 80, type=kind)
        assert got == expected


LONG = ["a" * 256, "a" * 300, b"127.0.0.1" + b"." * 300, "1" * 300, ("a" * 63 + ".") * 5]
NUL = ["127.0.0.1\0" + "x" * 10, b"127.0.0.1\0.example.invalid", "127.0.0.1\0", "x\0y", "::1\0"]


@pytest.mark.parametrize("host", LONG, ids=range(len(LONG)))
def test_fault_39_long_names_are_not_cut_short(loop, host):
    # how it fails is the C library's and the codec's; that it fails is the point
    with pytest.raises((OSError, ValueError)):
        loop.run_until_complete(loop.getaddrinfo(host, 80, type=socket.SOCK_STREAM))


@pytest.mark.parametrize("host", NUL, ids=range(len(NUL)))
def test_fault_39_names_with_nul_are_not_cut_short(loop, loop_name, host):
    support.oracle_lacks(loop_name, True, "socket.getaddrinfo ends a name at its NUL")
    with pytest.raises((OSError, ValueError)):
        loop.run_until_complete(loop.getaddrinfo(host, 80, type=socket.SOCK_STREAM))


def test_surrogates_and_unicode(loop):
    for host in ("\udc80", "ex\u00e4mple.invalid\udcff"):
        got, expected = both(loop, host, 80)
        assert got == expected


def test_unknown_name(loop):
    got = ask(lambda: loop.run_until_complete(loop.getaddrinfo("nonesuch.invalid", 80)))
    assert got[0] is socket.gaierror


def test_result_types(loop):
    for entry in loop.run_until_complete(loop.getaddrinfo("127.0.0.1", 80)):
        assert type(entry) is tuple
        family, kind, proto, canon, address = entry
        assert type(family) is socket.AddressFamily
        assert type(kind) is socket.SocketKind
        assert type(proto) is int
        assert canon == ""
        assert address == ("127.0.0.1", 80)


def test_many_at_once(loop):
    async def main():
        results = await asyncio.gather(
            *(loop.getaddrinfo("localhost", n, type=socket.SOCK_STREAM) for n in range(100))
        )
        for n, result in enumerate(results):
            assert {entry[4][1] for entry in result} == {n}

    loop.run_until_complete(main())


def test_fault_38_cancel_in_flight(loop, monkeypatch):
    gate = threading.Event()
    real = socket.getaddrinfo

    def slow(*args, **kwargs):
        gate.wait(10)
        return real(*args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", slow)

    async def main():
        task = loop.create_task(loop.getaddrinfo("localhost", 80))
        await asyncio.sleep(0.01)
        task.cancel()
        gate_timer = loop.call_later(0.02, gate.set)
        with pytest.raises(asyncio.CancelledError):
            await task
        gate_timer.cancel()
        gate.set()

    loop.run_until_complete(main())
    loop.run_until_complete(loop.shutdown_default_executor())


def test_fault_38_cancel_many_in_flight(loop):
    async def main():
        tasks = [loop.create_task(loop.getaddrinfo("localhost", n)) for n in range(50)]
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(r, asyncio.CancelledError | list) for r in results)

    loop.run_until_complete(main())


def test_loop_closed_with_a_lookup_in_flight(loop_factory, monkeypatch):
    gate = threading.Event()
    real = socket.getaddrinfo

    def slow(*args, **kwargs):
        gate.wait(10)
        return real(*args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    loop = loop_factory()

    async def main():
        task = loop.create_task(loop.getaddrinfo("localhost", 80))
        await asyncio.sleep(0.01)
        task.cancel()

    loop.run_until_complete(main())
    loop.run_until_complete(support.settle())
    pool = loop._default_executor
    loop.close()
    gate.set()
    if pool is not None:
        pool.shutdown(wait=True)
    time.sleep(0.01)


# -- getnameinfo ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "flags"),
    [
        (("127.0.0.1", 80), socket.NI_NUMERICHOST | socket.NI_NUMERICSERV),
        (("127.0.0.1", 80), socket.NI_NUMERICHOST),
        (("127.0.0.1", 80), 0),
        (("127.0.0.1", 53), socket.NI_DGRAM | socket.NI_NUMERICHOST),
        (("::1", 80), socket.NI_NUMERICHOST),
        (("::1", 80, 0, 0), socket.NI_NUMERICHOST | socket.NI_NUMERICSERV),
        (("fe80::1", 80, 0, 1), socket.NI_NUMERICHOST | socket.NI_NUMERICSERV),
        (("127.0.0.1", "80"), 0),
        (("localhost", 80), socket.NI_NUMERICHOST),
        (("127.0.0.1",), 0),
        ((), 0),
        ("127.0.0.1", 0),
        (["127.0.0.1", 80], 0),
        (None, 0),
        (("127.0.0.1", 80, 0, 0), 0),
        (("127.0.0.1", 70000), socket.NI_NUMERICHOST | socket.NI_NUMERICSERV),
        (("127.0.0.1", -1), 0),
        (("::1", 80, 1 << 30, 0), 0),
        (("not an address", 80), 0),
        (("127.0.0.1\0", 80), 0),
    ],
)
def test_getnameinfo(loop, address, flags):
    expected = ask(socket.getnameinfo, address, flags)
    got = ask(lambda: loop.run_until_complete(loop.getnameinfo(address, flags)))
    assert got == expected


def test_getnameinfo_default_flags(loop):
    assert loop.run_until_complete(loop.getnameinfo(("127.0.0.1", 80))) == socket.getnameinfo(
        ("127.0.0.1", 80), 0
    )


@pytest.mark.parametrize("family", [0, socket.AF_INET, socket.AF_INET6])
@pytest.mark.parametrize(
    "flags", [0, socket.AI_PASSIVE, socket.AI_NUMERICHOST, socket.AI_CANONNAME]
)
@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_types_and_values_of_an_answer(loop, family, flags, kind):
    """The same values, of the same types: enum members where the socket module has them."""
    hosts = ["127.0.0.1", "::1", "2001:DB8:0::1", "::ffff:127.0.0.1", "127.1", "1.2.3.04"]
    for host in hosts:
        for port in (80, "80", "080", "00080", True, 65536, -1, "65536", "+80", None):
            got, expected = both(loop, host, port, family=family, type=kind, flags=flags)
            assert got == expected, (host, port)
            if isinstance(got, list):
                for entry, like in zip(got, expected, strict=True):
                    assert [type(x) for x in entry] == [type(x) for x in like]
                    assert [type(x) for x in entry[4]] == [type(x) for x in like[4]]


def test_an_address_is_answered_by_the_first_step(loop):
    coro = loop.getaddrinfo("127.0.0.1", 80, type=socket.SOCK_STREAM)
    assert asyncio.iscoroutine(coro)
    if type(loop) is asyncio.SelectorEventLoop:  # asks a thread
        coro.close()
        return
    with pytest.raises(StopIteration) as caught:
        coro.send(None)
    assert caught.value.value == socket.getaddrinfo("127.0.0.1", 80, type=socket.SOCK_STREAM)


def test_getaddrinfo_arguments(loop):
    for call in (
        lambda: loop.getaddrinfo(),
        lambda: loop.getaddrinfo("127.0.0.1"),
        lambda: loop.getaddrinfo("127.0.0.1", 80, 0),
        lambda: loop.getaddrinfo("127.0.0.1", 80, kind=1),
        lambda: loop.getaddrinfo("127.0.0.1", host="x", port=1),
    ):
        with pytest.raises(TypeError, match=r"getaddrinfo\(\)"):
            call()
    expected = socket.getaddrinfo("127.0.0.1", 80)
    assert loop.run_until_complete(loop.getaddrinfo(host="127.0.0.1", port=80)) == expected


def test_answers_are_ones_own(loop):
    """Who changes the list changes nobody else's."""

    async def ask_for():
        return await loop.getaddrinfo("127.0.0.1", 80, type=socket.SOCK_STREAM)

    first = loop.run_until_complete(ask_for())
    first.clear()
    assert len(loop.run_until_complete(ask_for())) == 1


def test_audit_event(loop):
    seen = []
    active = True

    def hook(event, args):
        if active and event == "socket.getaddrinfo":
            seen.append(args)

    sys.addaudithook(hook)
    try:
        loop.run_until_complete(loop.getaddrinfo("127.0.0.1", 80, type=socket.SOCK_STREAM))
    finally:
        active = False
    assert seen == [("127.0.0.1", 80, 0, socket.SOCK_STREAM, 0)]

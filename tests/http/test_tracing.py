"""TraceConfig: the same program on aiohttp and on uvolt.http is told the same, in its order."""

from __future__ import annotations

import asyncio
import io
import pickle
import socket
import types

import aiohttp
import pytest
import support
from http_support import Client, answers, chunked, raw, response
from multidict import CIMultiDict
from yarl import URL

from uvolt import http

SIGNALS = sorted(name[3:] for name in dir(aiohttp.TraceConfig) if name.startswith("on_"))
HIDDEN = {"User-Agent"}


def plain(value):
    """A parameter of a signal, so that those of two clients can be compared."""
    if isinstance(value, URL):
        return str(value.with_port(None)) if value.host in (support.LOCALHOST, "host") else value
    if isinstance(value, CIMultiDict):
        fields = [(k, v) for k, v in value.items() if k not in HIDDEN and k != "Host"]
        return [(k, v) for k, v in fields if k != "Accept-Encoding"]
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    if isinstance(value, BaseException):
        return type(value).__name__
    if hasattr(value, "status"):
        return ("response", value.status)
    return value


class Recorder:
    """What a TraceConfig is told: [(signal, {parameter: value})], request by request."""

    def __init__(self, module, *, waits: bool = False, name: str = "") -> None:
        self.told: list = []  # (context, signal, fields)
        self.sessions: set = set()
        self.config = module.TraceConfig()
        for signal in SIGNALS:
            getattr(self.config, f"on_{signal}").append(self._receiver(signal, waits, name))

    def _receiver(self, signal, waits, name):
        async def receiver(session, context, params):
            if waits:
                await asyncio.sleep(0.001)
            kind = "Trace" + "".join(word.title() for word in signal.split("_")) + "Params"
            kind = kind.replace("Resolvehost", "ResolveHost")
            assert type(params).__name__ == kind
            fields = {
                field: plain(getattr(params, field))
                for field in ("method", "url", "headers", "chunk", "response", "exception", "host")
                if hasattr(params, field)
            }
            self.told.append((context, name + signal, fields))
            self.sessions.add(session)

        return receiver

    @property
    def seen(self) -> list:
        contexts: list = []
        for context, *_ in self.told:
            if not any(context is other for other in contexts):
                contexts.append(context)
        return [(*what,) for mine in contexts for context, *what in self.told if context is mine]

    @property
    def names(self) -> list[str]:
        return [name for _, name, _ in self.told]


class Names(aiohttp.abc.AbstractResolver):
    """Every name is this machine; "nowhere" is none."""

    async def resolve(self, host, port=0, family=socket.AF_INET):
        await asyncio.sleep(0.001)
        if host == "nowhere":
            raise OSError(None, "no such name")
        return [
            dict(hostname=host, host=support.LOCALHOST, port=port, family=socket.AF_INET,
                 proto=0, flags=0)
        ]  # fmt: skip

    async def close(self):
        pass


def both(scenario, script=None, *, waits=False, connector=None, **session):
    """scenario(session, url, recorder) with each client; their records, which must be equal."""
    seen = {}
    for name in ("aiohttp", "uvolt"):
        client = Client(name)
        recorder = Recorder(client.http, waits=waits)

        async def main(client=client, recorder=recorder):
            async with raw(script() if script else answers(response(b"ok"))) as server:
                options = dict(connector or {}, resolver=Names())
                async with client.session(
                    connector=client.http.TCPConnector(**options),
                    trace_configs=[recorder.config],
                    **session,
                ) as http:
                    await scenario(http, server.url, recorder)
                    assert recorder.sessions <= {http}

        client.run(main)
        seen[name] = recorder.seen
    assert seen["uvolt"] == seen["aiohttp"]
    return [name for name, _ in seen["uvolt"]], seen["uvolt"]


async def half(peer):
    """Half of the answer to the first request, which so keeps its connection; all of others."""
    while True:
        await peer.request()
        data = response(b"ok" * 50)
        peer.send(data if len(peer.server.asked) > 1 else data[:-50])


CREATED = ["connection_create_start", "connection_create_end"]


@pytest.mark.parametrize("waits", [False, True])
def test_a_request_on_a_new_connection_and_one_on_a_used_one(waits):
    async def scenario(http, url, _):
        for _ in range(2):
            async with http.get(url + "/a?b=c", params={"d": "e"}, headers={"X": "1"}) as r:
                assert await r.read() == b"ok"
                assert await r.read() == b"ok"  # which is not told again

    names, seen = both(scenario, waits=waits)
    rest = ["request_headers_sent", "request_end", "response_chunk_received"]
    assert names == [
        "request_start", *CREATED, *rest, "request_start", "connection_reuseconn", *rest
    ]  # fmt: skip
    assert seen[0][1]["url"] == "http://127.0.0.1/a?b=c&d=e"
    assert seen[-1][1]["chunk"] == b"ok"


@pytest.mark.parametrize("how", ["text", "json"])
def test_text_and_json_tell_of_the_body_too(how):
    async def scenario(http, url, _):
        async with http.get(url) as r:
            await getattr(r, how)()

    names, _ = both(scenario, lambda: answers(response(b"[1, 2]", Content_Type="application/json")))
    assert names[-1] == "response_chunk_received"


def test_a_body_that_is_streamed_is_not_told_of():
    async def scenario(http, url, _):
        async with http.get(url) as r:
            async for _ in r.content.iter_chunked(2):
                pass

    names, _ = both(scenario)
    assert names[-1] == "request_end"


@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_bodies_that_are_empty(method):
    async def scenario(http, url, _):
        async with http.request(method, url) as r:
            assert await r.read() == b""

    names, seen = both(scenario, lambda: answers(response(b"", "204 No Content", False)))
    assert seen[-1][1]["chunk"] == b""


async def pieces():
    for piece in (b"one", b"", b"three"):
        yield piece


@pytest.mark.parametrize(
    "body",
    [
        {"data": lambda: b"bytes"},
        {"data": lambda: b""},
        {"data": lambda: "text ä"},
        {"json": lambda: {"a": [1, 2]}},
        {"data": lambda: {"form": "fields &"}},
        {"data": pieces},
        {"data": lambda: io.BytesIO(b"file")},
        {"data": lambda: b"compressed" * 10, "compress": lambda: "gzip"},
        {"data": lambda: b"in chunks", "chunked": lambda: True},
        {"data": lambda: b"later", "expect100": lambda: True},
    ],
    ids=["bytes", "empty", "text", "json", "form", "pieces", "file", "gzip", "chunked", "expect"],
)
def test_pieces_of_a_request(body):
    async def server(peer):
        while True:
            asked = await peer.request(body=False)
            if b"100-continue" in asked.head:
                peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            length = asked.headers.get("content-length")
            await (peer.until(b"0\r\n\r\n") if length is None else peer.exactly(int(length)))
            peer.send(response(b"ok"))

    async def scenario(http, url, _):
        async with http.post(url, **{name: value() for name, value in body.items()}) as r:
            await r.read()

    names, _ = both(scenario, lambda: server)
    assert names[:4] == ["request_start", *CREATED, "request_headers_sent"]
    assert names[4] == "request_chunk_sent"


def test_redirects():
    async def scenario(http, url, _):
        async with http.post(url + "/1", data=b"x", params={"q": "1"}, headers={"X": "1"}) as r:
            assert (r.status, len(r.history)) == (200, 2)
            await r.read()

    names, seen = both(
        scenario,
        lambda: answers(
            response(b"", "307 There", Location="/2"),
            response(b"", "303 There", Location="/3"),
            response(b"ok"),
        ),
    )
    assert names.count("request_redirect") == 2
    assert names.count("request_start") == names.count("request_end") == 1


@pytest.mark.parametrize(
    "request_, exception",
    [
        ({"path": "/", "timeout": 0.05}, "TimeoutError"),
        ({"url": "http://nowhere/"}, "ClientConnectorDNSError"),
        ({"url": "http://host:1/"}, "ClientConnectorError"),
        ({"path": "/moved", "max_redirects": 2}, "TooManyRedirects"),
        ({"path": "/missing", "raise_for_status": True}, "ClientResponseError"),
        ({"path": "/moved-nowhere"}, "NonHttpUrlRedirectClientError"),
        ({"path": "/bad"}, "ClientResponseError"),
        ({"path": "/close", "method": "POST"}, "ServerDisconnectedError"),
        ({"path": "/", "headers": {"Authorization": "a"}, "login": True}, "ValueError"),
        ({"path": "/", "headers": {"A": "b\r\nC: d"}}, "ValueError"),
        ({"path": "/", "method": "A B"}, "ValueError"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.filterwarnings("ignore:The 'auth' parameter:DeprecationWarning")
def test_exceptions(request_, exception):
    async def server(peer):
        while True:
            path = (await peer.request()).target
            if path == "/moved":
                peer.send(response(b"", "302 There", Location="/moved"))
            elif path == "/moved-nowhere":
                peer.send(response(b"", "302 There", Location="ftp://nowhere/"))
            elif path == "/missing":
                peer.send(response(b"", "404 Not Found"))
            elif path == "/bad":
                peer.send(b"no HTTP at all\r\n\r\n")
            elif path == "/close":
                return

    async def scenario(http, url, recorder):
        kwargs = dict(request_)
        method = kwargs.pop("method", "GET")
        target = kwargs.pop("url", None) or url + kwargs.pop("path")
        if kwargs.pop("login", False):
            target = target.replace("http://", "http://user:pass@")
        if "timeout" in kwargs:
            kwargs["timeout"] = type(http.timeout)(total=kwargs["timeout"])
        with pytest.raises(Exception) as caught:
            await http.request(method, target, **kwargs)
        assert type(caught.value).__name__ == exception

    names, seen = both(scenario, lambda: server)
    assert names[-1] == "request_exception"
    assert seen[-1][1]["exception"] == exception


def test_a_request_that_is_cancelled():
    async def scenario(http, url, recorder):
        task = asyncio.ensure_future(http.request("GET", url))
        await support.until(lambda: "request_headers_sent" in recorder.names)
        await support.settle()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    async def server(peer):
        await peer.request()
        await peer.gone()

    names, seen = both(scenario, lambda: server)
    assert seen[-1] == ("request_exception", {**seen[0][1], "exception": "CancelledError"})


def test_waiting_for_a_connection():
    async def scenario(http, url, recorder):
        first = await http.get(url)
        second = asyncio.ensure_future(http.request("GET", url))
        await support.until(lambda: "connection_queued_start" in recorder.names)
        await support.settle()
        await first.read()
        async with await second as r:
            await r.read()

    async def server(peer):
        await peer.request()
        peer.send(response(b"x" * 100)[:-50])  # the rest when the second one waits
        await asyncio.sleep(0.1)
        peer.send(b"x" * 50)
        await peer.request()
        peer.send(response(b"ok"))
        await peer.gone()

    names, _ = both(scenario, lambda: server, connector={"limit": 1})
    at = names.index("connection_queued_start")
    assert names.index("connection_queued_end") > at
    assert names.count("connection_reuseconn") == 1


def test_waiting_that_ends_with_a_new_connection():
    async def scenario(http, url, recorder):
        first = await http.get(url)
        second = asyncio.ensure_future(http.request("GET", url))
        await support.until(lambda: "connection_queued_start" in recorder.names)
        first.close()
        (await second).close()

    names, _ = both(scenario, lambda: half, connector={"limit": 1})
    assert names[-6:] == [
        "connection_queued_start",
        "connection_queued_end",
        *CREATED,
        "request_headers_sent",
        "request_end",
    ]


@pytest.mark.parametrize("limits", [{"connect": 0.05}, {"total": 0.05}], ids=["connect", "total"])
def test_waiting_in_vain(limits):
    async def scenario(http, url, recorder):
        first = await http.get(url)
        with pytest.raises(asyncio.TimeoutError):
            await http.get(url, timeout=type(http.timeout)(**limits))
        first.close()
        async with http.get(url) as r:  # nothing is held by the one that gave up
            assert await r.read() == b"ok" * 50

    names, _ = both(scenario, lambda: half, connector={"limit": 1})
    assert "connection_queued_end" not in names


@pytest.mark.parametrize("cached", [True, False])
def test_names(cached):
    async def scenario(http, url, recorder):
        url = url.replace(support.LOCALHOST, "host")
        for _ in range(2):
            (await http.get(url)).close()

    names, seen = both(scenario, connector={"use_dns_cache": cached, "force_close": True})
    names = [name for name in names if name.startswith("dns")]
    looked_up = ["dns_resolvehost_start", "dns_resolvehost_end"]
    if cached:
        assert names == ["dns_cache_miss", *looked_up, "dns_cache_hit"]
    else:
        assert names == looked_up * 2
    assert all(params == {"host": "host"} for name, params in seen if name.startswith("dns"))


def test_who_joins_a_lookup_hits_the_cache():
    async def scenario(http, url, recorder):
        url = url.replace(support.LOCALHOST, "host")
        for r in await asyncio.gather(*(http.request("GET", url) for _ in range(3))):
            r.close()

    records = {}
    for name in ("aiohttp", "uvolt"):
        client = Client(name)
        recorder = Recorder(client.http)

        async def main(client=client, recorder=recorder):
            connector = client.http.TCPConnector(resolver=Names())
            async with (
                raw(answers(response(b"ok"))) as server,
                client.session(connector=connector, trace_configs=[recorder.config]) as http,
            ):
                await scenario(http, server.url, recorder)

        client.run(main)
        records[name] = sorted(recorder.names)
    assert records["uvolt"] == records["aiohttp"]
    assert records["uvolt"].count("dns_cache_hit") == 2


def test_a_connection_that_the_server_has_closed_is_replaced():
    """The request is sent again on a new connection, and that is told too."""

    async def server(peer):
        await peer.request()
        peer.send(response(b"ok"))
        if not peer.number:
            await peer.request()  # and no answer
            return
        await peer.gone()

    async def scenario(http, url, recorder):
        for _ in range(2):
            async with http.get(url) as r:
                await r.read()

    names, _ = both(scenario, lambda: server)
    assert names[6:] == [
        "request_start",
        "connection_reuseconn",
        "request_headers_sent",
        *CREATED,
        "request_headers_sent",
        "request_end",
        "response_chunk_received",
    ]


def test_fields_that_a_receiver_adds_are_sent(client):
    config = client.http.TraceConfig()

    @config.on_request_start
    async def start(session, context, params):
        params.headers["X-Start"] = "1"

    @config.on_request_headers_sent
    async def sent(session, context, params):
        params.headers["X-Sent"] = "2"

    async def main():
        async with (
            raw(answers(response())) as server,
            client.session(trace_configs=[config]) as http,
        ):
            await http.post(server.url, data=b"abc")
            fields = server.asked[0].headers
            assert (fields["x-start"], fields["x-sent"]) == ("1", "2")
            assert server.asked[0].body == b"abc"

    client.run(main)


def test_contexts(client):
    made = []

    def factory(trace_request_ctx):
        made.append(types.SimpleNamespace(asked=trace_request_ctx))
        return made[-1]

    config = client.http.TraceConfig(trace_config_ctx_factory=factory)
    contexts = []

    async def receiver(session, context, params):
        contexts.append(context)

    config.on_request_start.append(receiver)
    config.on_request_end.append(receiver)

    async def main():
        async with (
            raw(answers(response())) as server,
            client.session(trace_configs=[config]) as http,
        ):
            assert list(http.trace_configs) == [config]
            await http.get(server.url, trace_request_ctx={"id": 1})
            await http.get(server.url)

    client.run(main)
    first, second = made
    assert contexts == [first, first, second, second]
    assert (first.asked, second.asked) == ({"id": 1}, None)


def test_several_configs_are_told_one_after_the_other():
    records = {}
    for name in ("aiohttp", "uvolt"):
        client = Client(name)
        recorders = [Recorder(client.http, name=word) for word in ("a ", "b ")]
        recorders[1].told = recorders[0].told

        async def main(client=client, recorders=recorders):
            async with (
                raw(answers(response(b"ok"))) as server,
                client.session(trace_configs=[r.config for r in recorders]) as http,
            ):
                async with http.post(server.url, data=b"x") as r:
                    await r.read()

        client.run(main)
        records[name] = recorders[0].names
    assert records["uvolt"] == records["aiohttp"]
    assert records["uvolt"][:4] == [
        "a request_start",
        "b request_start",
        "a connection_create_start",
        "b connection_create_start",
    ]


@pytest.mark.parametrize("signal", [s for s in SIGNALS if s != "request_exception"])
def test_a_receiver_that_raises(signal):
    """What it raises ends the request; slots and connections are not lost by it."""
    queued, prepared = "queued" in signal, signal in ("dns_cache_hit", "connection_reuseconn")
    records = {}
    for name in ("aiohttp", "uvolt"):
        client = Client(name)
        recorder = Recorder(client.http)
        broken = client.http.TraceConfig()

        async def fail(session, context, params):
            if fail.wanted:
                raise ZeroDivisionError

        fail.wanted = not prepared and not queued
        getattr(broken, f"on_{signal}").append(fail)
        # The body is sent by a task, whose errors are wrapped.
        error = ZeroDivisionError
        if signal == "request_chunk_sent":
            error = client.http.ClientConnectionError
        script = answers(response(b"", "302 There", Location="/2"), response(b"ok"))

        async def main(
            client=client, recorder=recorder, broken=broken, fail=fail, error=error, script=script
        ):
            connector = client.http.TCPConnector(
                resolver=Names(), limit=1, force_close=signal == "dns_cache_hit"
            )
            configs = [recorder.config, broken]
            async with (
                raw(half if queued else script) as server,
                client.session(connector=connector, trace_configs=configs) as http,
            ):
                url = server.url.replace(support.LOCALHOST, "host")

                async def whole():
                    async with http.post(url, data=b"abc") as r:
                        return await r.read()

                if prepared:
                    await whole()
                    fail.wanted = True
                if queued:
                    first = await http.get(url)
                    fail.wanted = True
                    waiting = asyncio.ensure_future(whole())
                    await support.until(lambda: "connection_queued_start" in recorder.names)
                    await support.settle()
                    first.close()
                    with pytest.raises(ZeroDivisionError):
                        await waiting
                else:
                    with pytest.raises(error):
                        await whole()
                fail.wanted = False
                assert (await asyncio.wait_for(whole(), 5)).startswith(b"ok")

        client.run(main)
        records[name] = recorder.names
    assert records["uvolt"] == records["aiohttp"]


def test_signals_are_frozen_with_the_session(client):
    config = client.http.TraceConfig()

    async def main():
        async with client.session(trace_configs=[config]):
            for signal in SIGNALS:
                with pytest.raises(RuntimeError):
                    getattr(config, f"on_{signal}").append(None)

    client.run(main)
    with pytest.raises(AttributeError):
        config.on_request_start = None


def test_a_signal_is_a_list_until_it_is_frozen(client):
    signal = client.http.TraceConfig().on_request_start

    async def one(*args):
        seen.append(("one", *args))

    async def two(*args):
        seen.append(("two", *args))

    seen: list = []
    assert signal(one) is one
    signal.insert(0, two)
    signal.extend([one, two])
    signal.remove(one)
    signal[1] = one
    del signal[2:]
    assert list(signal) == signal == [two, one]
    assert (len(signal), signal[0], signal[-1:], one in signal) == (2, two, [one], True)

    async def main():
        with pytest.raises(RuntimeError):
            await signal.send(1)
        signal.freeze()
        await signal.send(1, 2)

    client.run(main)
    assert seen == [("two", 1, 2), ("one", 1, 2)]
    for change in (
        lambda: signal.insert(0, one),
        lambda: signal.pop(),
        lambda: signal.__setitem__(0, one),
    ):
        with pytest.raises(RuntimeError):
            change()


@pytest.mark.parametrize("name", [n for n in http.__all__ if n.startswith("Trace")])
def test_parameters_are_aiohttps(name):
    ours, theirs = getattr(http, name), getattr(aiohttp, name)
    if name == "TraceConfig":
        assert {n for n in dir(ours) if n[0] != "_"} == {n for n in dir(theirs) if n[0] != "_"}
        return
    values = tuple(range(len(theirs.__slots__) - ("__weakref__" in theirs.__slots__)))
    mine, other = ours(*values), theirs(*values)
    assert repr(mine) == repr(other)
    assert mine == ours(*values) and hash(mine) == hash(ours(*values))
    assert pickle.loads(pickle.dumps(mine)) == mine
    assert mine != other and mine != ours(*[9 for _ in values]) or not values
    with pytest.raises(TypeError):
        ours(*values, 1)
    with pytest.raises(AttributeError):
        mine.method = 1
    for field in ours.__slots__:
        with pytest.raises(TypeError):
            ours(*values[:-1])
        with pytest.raises(AttributeError):
            delattr(mine, field)


def test_aiohttps_own_traceconfig_works(uloop):
    """A library that makes one of aiohttp's need not know which client it is for."""
    recorder = Recorder(aiohttp)

    async def main():
        async with (
            raw(
                answers(response(chunked(b"a", b"b"), length=False, Transfer_Encoding="chunked"))
            ) as server,
            http.ClientSession(trace_configs=[recorder.config]) as session,
        ):
            async with session.get(server.url) as r:
                assert await r.text() == "ab"

    # Its receivers get uvolt.http's parameters, whose names are the same.
    Client("uvolt").run(main)
    assert recorder.names[0] == "request_start"
    assert recorder.names[-1] == "response_chunk_received"


def test_a_response_made_by_hand_tells_its_traces(client):
    seen = []

    class Trace:
        async def send_response_chunk_received(self, method, url, chunk):
            seen.append((method, url, chunk))

    class Content:
        async def read(self):
            return b"abc"

    async def main():
        loop = asyncio.get_running_loop()
        made = client.http.ClientResponse(
            "GET",
            URL("http://h/"),
            writer=None,
            continue100=None,
            timer=None,
            request_info=None,
            traces=[Trace()],
            loop=loop,
            session=None,
            stream_writer=types.SimpleNamespace(output_size=0),
        )
        made._headers = CIMultiDict()
        made.content = Content()
        assert await made.read() == b"abc"

    client.run(main)
    assert seen == [("GET", URL("http://h/"), b"abc")]

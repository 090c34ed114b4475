"""tornado on the loop: its HTTP server and client, websockets, TLS on its own sockets, timers."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket

import pytest
import support
import tornado.httpclient
import tornado.httpserver
import tornado.ioloop
import tornado.iostream
import tornado.tcpserver
import tornado.web
import tornado.websocket
from servers import run


class Hello(tornado.web.RequestHandler):
    def get(self):
        self.write({"name": self.get_argument("name", "nobody")})

    async def post(self):
        await asyncio.sleep(0)
        self.write(self.request.body)


class Parts(tornado.web.RequestHandler):
    async def get(self):
        for n in range(100):
            self.write(f"part {n}\n")
            await self.flush()


class Socket(tornado.websocket.WebSocketHandler):
    async def on_message(self, message):
        await self.write_message(message, binary=isinstance(message, bytes))


@contextlib.asynccontextmanager
async def served(**options):
    routes = [("/hello", Hello), ("/parts", Parts), ("/ws", Socket)]
    app = tornado.web.Application(routes, log_function=lambda handler: None)
    sock = socket.create_server((support.LOCALHOST, 0))
    sock.setblocking(False)
    server = tornado.httpserver.HTTPServer(app, **options)
    server.add_sockets([sock])
    try:
        yield f"localhost:{sock.getsockname()[1]}"
    finally:
        server.stop()
        await server.close_all_connections()


@pytest.mark.parametrize("tls", [False, True])
def test_http(loop, certificates, tls):
    async def main():
        options = {"ssl_options": certificates.server()} if tls else {}
        async with served(**options) as address:
            client = tornado.httpclient.AsyncHTTPClient(
                force_instance=True, defaults={"ca_certs": str(certificates.ca)}
            )
            url = f"http{'s' * tls}://{address}"
            answer = await client.fetch(f"{url}/hello?name=ada")
            assert answer.body == b'{"name": "ada"}'
            body = os.urandom(2_000_000)
            kind = {"Content-Type": "application/octet-stream"}
            answer = await client.fetch(f"{url}/hello", method="POST", body=body, headers=kind)
            assert answer.body == body
            expected = "".join(f"part {n}\n" for n in range(100)).encode()
            answers = await asyncio.gather(*(client.fetch(f"{url}/parts") for _ in range(30)))
            assert {answer.body for answer in answers} == {expected}
            with pytest.raises(tornado.httpclient.HTTPClientError, match="404"):
                await client.fetch(f"{url}/nothing")
            client.close()

    run(loop, main)


def test_websockets(loop):
    async def main():
        async with served() as address:

            async def client(n):
                ws = await tornado.websocket.websocket_connect(f"ws://{address}/ws")
                for m in range(20):
                    await ws.write_message(f"{n}.{m}")
                    assert await ws.read_message() == f"{n}.{m}"
                await ws.write_message(bytes([n]) * 300_000, binary=True)
                assert await ws.read_message() == bytes([n]) * 300_000
                ws.close()
                assert await ws.read_message() is None

            await asyncio.gather(*map(client, range(5)))

    run(loop, main)


def test_ioloop(loop):
    """Its own interface: callbacks, timers, handlers of descriptors, threads."""

    async def main():
        ioloop = tornado.ioloop.IOLoop.current()
        assert ioloop.asyncio_loop is loop
        seen = []
        ioloop.add_callback(seen.append, "callback")
        ioloop.call_later(0.01, seen.append, "later")
        ioloop.remove_timeout(ioloop.call_later(0.005, seen.append, "never"))
        ticks = []
        ticker = tornado.ioloop.PeriodicCallback(lambda: ticks.append(1), 2)
        ticker.start()
        a, b = socket.socketpair()
        with a, b:
            ioloop.add_handler(
                a, lambda sock, events: seen.append((sock.recv(10), events)), ioloop.READ
            )
            b.send(b"data")
            await support.until(lambda: len(seen) == 3 and len(ticks) > 3)
            ioloop.remove_handler(a)
        ticker.stop()
        assert seen[0] == "callback" and set(seen[1:]) == {"later", (b"data", ioloop.READ)}
        assert await ioloop.run_in_executor(None, lambda: 7) == 7

    run(loop, main)


def test_tcp_server(loop):
    class Lines(tornado.tcpserver.TCPServer):
        async def handle_stream(self, stream, address):
            with contextlib.suppress(tornado.iostream.StreamClosedError):
                while True:
                    await stream.write((await stream.read_until(b"\n")).upper())

    async def main():
        server = Lines()
        server.listen(0, support.LOCALHOST)
        (sock,) = server._sockets.values()
        reader, writer = await asyncio.open_connection(*sock.getsockname())
        for n in range(200):
            writer.write(b"line %d\n" % n)
            assert await reader.readline() == b"LINE %d\n" % n
        writer.close()
        await writer.wait_closed()
        server.stop()
        await asyncio.sleep(0.01)

    run(loop, main)

"""A forked child that goes on with its parent's loop and session."""

from __future__ import annotations

import pytest
import support
from servers import Certificates

SCRIPT = """
import os, socket, ssl, sys, threading
from uvolt import http

def answer(sock, number, tls):
    if tls is not None:
        sock = tls.wrap_socket(sock, server_side=True)
    with sock:
        count = 0
        while sock.recv(4096):
            count += 1
            body = b"%d:%d" % (number, count)
            sock.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n" % len(body) + body)

def serve(listener, tls):
    number = 0
    while True:
        sock = listener.accept()[0]
        number += 1
        threading.Thread(target=answer, args=(sock, number, tls), daemon=True).start()

def fork(run, *args):
    child = os.fork()
    if child == 0:
        status = 1
        try:
            run(*args)
            status = 0
        finally:
            os._exit(status)
    return child

async def get(session, url, trust):
    async with session.get(url, ssl=trust) as answer:
        return await answer.text()

async def make():
    return http.ClientSession()

def inherit(loop, session, url, trust):
    found = [loop.run_until_complete(get(session, url, trust)) for _ in range(2)]
    assert found == ["2:1", "2:2"], found
    loop.run_until_complete(session.close())
    loop.close()

scheme, ca, certificate, key = sys.argv[1:]
tls = trust = None
if scheme == "https":
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    trust = ssl.create_default_context(cafile=ca)
with socket.create_server(("127.0.0.1", 0)) as listener:
    url = f"{scheme}://localhost:{listener.getsockname()[1]}/"
    server = fork(serve, listener, tls)
loop = new_loop()
session = loop.run_until_complete(make())
assert loop.run_until_complete(get(session, url, trust)) == "1:1"
child = fork(inherit, loop, session, url, trust)
assert os.waitpid(child, 0)[1] == 0
assert loop.run_until_complete(get(session, url, trust)) == "1:2"
loop.run_until_complete(session.close())
loop.close()
os.kill(server, 9)
os.waitpid(server, 0)
print("done")
"""


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_connections_of_the_parent_are_its_own(scheme: str, certificates: Certificates) -> None:
    """aiohttp sends the child's requests on them, too, among the parent's."""
    files = (str(certificates.ca), str(certificates.certificate), str(certificates.key))
    assert support.script("uvolt", SCRIPT, args=(scheme, *files)).split() == ["done"]

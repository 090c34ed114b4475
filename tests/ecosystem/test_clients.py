"""Clients of services, against a server that answers as the service would."""

from __future__ import annotations

from pathlib import Path

import pytest
from eco_support import both

pytestmark = pytest.mark.unsanitized


def test_discord(tmp_path: Path) -> None:
    """Its HTTP client, with rate limits, a form with a file, and its WebSocket class."""
    program = """
import io, discord
from discord.http import HTTPClient, MultipartParameters, Route

asked = []

def reply(data, status=200, headers={}):  # not json_response(): without a charset
    return web.Response(body=json.dumps(data).encode(), status=status,
                        headers={"Content-Type": "application/json", **headers})

async def me(request):
    asked.append((request.method, request.headers["Authorization"]))
    return reply({"id": "1", "username": "bot", "discriminator": "0", "avatar": None})

async def channels(request):
    if len([1 for method, _ in asked if method == "POST"]) == 0:
        asked.append(("POST", "limited"))
        return reply({"retry_after": 0.01, "global": False, "message": "slow"},
                                 status=429, headers={"Via": "1.1 x"})
    if request.content_type.startswith("multipart"):
        parts = {name: value if isinstance(value, str) else value.file.read().decode()
                 for name, value in (await request.post()).items()}
        return reply({"parts": sorted(parts.items())})
    return reply({"json": await request.json()})

async def missing(request):
    return reply({"message": "no such thing", "code": 10003}, status=404)

async def gateway(request):
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    await socket.send_json({"op": 10, "agent": "DiscordBot" in request.headers["User-Agent"]})
    async for message in socket:
        await socket.send_str(message.data)
        await socket.close(code=4000)
    return socket

async def main():
    async with serve(users=me, channels=channels, missing=missing, gateway=gateway) as url:
        Route.BASE = url
        http = HTTPClient(asyncio.get_running_loop())
        print((await http.static_login("token"))["username"])
        session = http._HTTPClient__session
        engine(session)
        print(await http.request(Route("POST", "/channels/{channel_id}/x", channel_id=1),
                                 json={"content": "hi"}))
        form = [{"name": "payload_json", "value": "{}"},
                {"name": "files[0]", "value": io.BytesIO(b"data"), "filename": "a.txt",
                 "content_type": "application/octet-stream"}]
        route = Route("POST", "/channels/{channel_id}/x", channel_id=1)
        print(await http.request(route, form=form))
        try:
            await http.request(Route("GET", "/missing"))
        except discord.NotFound as exc:
            print(exc)
        socket = await http.ws_connect(url + "/gateway")
        print(type(socket).__name__, (await socket.receive()).json())
        await socket.send_str("back")
        print((await socket.receive()).data, (await socket.receive()).type.name, socket.close_code)
        await http.close()
        print(session.closed)

asyncio.run(main())
"""
    lines = both(program, tmp_path, "uvolt")
    assert lines[0] == "bot" and "DiscordClientWebSocketResponse" in lines[-3]


def test_slack_sdk(tmp_path: Path) -> None:
    program = """
from slack_sdk.errors import SlackApiError
from slack_sdk.http_retry.builtin_async_handlers import AsyncRateLimitErrorRetryHandler
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.webhook.async_client import AsyncWebhookClient

limited = []

async def api(request):
    name = request.path.rsplit("/", 1)[1]
    form = {key: value if isinstance(value, str) else value.file.read().decode()
            for key, value in (await request.post()).items()}
    if name == "fails":
        return web.json_response({"ok": False, "error": "nope"})
    if name == "users.list" and not limited:
        limited.append(1)
        return web.json_response({"ok": False, "error": "ratelimited"}, status=429,
                                 headers={"Retry-After": "0"})
    return web.json_response({"ok": True, "name": name, "form": form, "query": dict(request.query),
                              "auth": request.headers.get("Authorization"),
                              "type": request.content_type,
                              "json": await request.json() if request.content_type ==
                              "application/json" else None})

async def hook(request):
    return web.Response(text="ok " + (await request.json())["text"])

async def main():
    async with serve(api=api, hook=hook) as url, aiohttp.ClientSession() as session:
        engine(session)
        for client in (AsyncWebClient("xoxb", base_url=url + "/api/"),
                       AsyncWebClient("xoxb", base_url=url + "/api/", session=session)):
            print((await client.auth_test()).data)
            print((await client.chat_postMessage(channel="C1", text="hello")).data)
            print((await client.api_call("files", files={"file": b"bytes"}, data={"a": "b"})).data)
        client.retry_handlers.append(AsyncRateLimitErrorRetryHandler(max_retry_count=1))
        print((await client.users_list())["ok"], limited)
        try:
            await client.api_call("fails")
        except SlackApiError as exc:
            print(exc.response["error"])
        response = await AsyncWebhookClient(url + "/hook", session=session).send(text="there")
        print(response.status_code, response.body)

asyncio.run(main())
"""
    lines = both(program, tmp_path, "uvolt")
    assert lines[-1] == "200 ok there"


def test_openai(tmp_path: Path) -> None:
    """Its aiohttp transport: answers whole and as server-sent events, errors, timeouts."""
    program = """
import openai
from openai import AsyncOpenAI, DefaultAioHttpClient

async def v1(request):
    asked = await request.json()
    if asked["model"] == "slow":
        await asyncio.sleep(5)
    if asked["model"] == "bad":
        return web.json_response({"error": {"message": "no", "code": "c"}}, status=400)
    if not asked.get("stream"):
        message = {"role": "assistant", "content": asked["messages"][0]["content"][::-1]}
        return web.json_response({"id": "1", "object": "chat.completion", "created": 1,
            "model": asked["model"], "choices":
            [{"index": 0, "finish_reason": "stop", "message": message}]})
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    for word in asked["messages"][0]["content"].split():
        chunk = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m",
                 "choices": [{"index": 0, "delta": {"content": word}}]}
        await response.write(f"data: {json.dumps(chunk)}\\n\\n".encode())
        await asyncio.sleep(0.005)
    await response.write(b"data: [DONE]\\n\\n")
    return response

async def main():
    async with serve(v1=v1) as url, DefaultAioHttpClient() as http:
        client = AsyncOpenAI(base_url=url + "/v1", api_key="key", http_client=http, max_retries=0)
        messages = [{"role": "user", "content": "one two three"}]
        done = await client.chat.completions.create(model="m", messages=messages)
        engine(http._transport.client if not callable(http._transport.client)
               else http._transport.client())
        print(done.choices[0].message.content)
        stream = await client.chat.completions.create(model="m", messages=messages, stream=True)
        print([chunk.choices[0].delta.content async for chunk in stream])
        many = await asyncio.gather(*(client.chat.completions.create(model="m", messages=messages)
                                      for _ in range(20)))
        print(len({id(one) for one in many}))
        for model, timeout in (("bad", 5), ("slow", 0.2)):
            try:
                await client.chat.completions.create(model=model, messages=messages,
                                                     timeout=timeout)
            except openai.APIError as exc:
                print(type(exc).__name__)

asyncio.run(main())
"""
    lines = both(program, tmp_path, "uvolt")
    assert lines == [
        "eerht owt eno",
        "['one', 'two', 'three']",
        "20",
        "BadRequestError",
        "APITimeoutError",
    ]


def test_aiobotocore(tmp_path: Path) -> None:
    """Its connector replaces a private method of aiohttp's: aiohttp does the work, on our loop."""
    program = """
import hashlib
from aiobotocore.session import get_session
import botocore.exceptions

stored = {}

async def bucket(request):
    key = request.path
    if request.method == "PUT":
        body = await request.read()
        stored[key] = body
        return web.Response(headers={"ETag": '"%s"' % hashlib.md5(body).hexdigest()})
    if key not in stored:
        return web.Response(status=404, content_type="application/xml", text="<?xml version='1.0'?>"
            "<Error><Code>NoSuchKey</Code><Message>no key</Message></Error>")
    return web.Response(body=stored[key], headers={"ETag": '"x"'})

async def main():
    async with serve(bucket=bucket) as url:
        session = get_session()
        async with session.create_client("s3", region_name="us-east-1", endpoint_url=url,
                aws_access_key_id="a", aws_secret_access_key="b") as client:
            body = b"0123456789" * 20_000
            done = await client.put_object(Bucket="bucket", Key="k", Body=b"small")
            print(done["ResponseMetadata"]["HTTPStatusCode"])
            await client.put_object(Bucket="bucket", Key="large", Body=body)
            got = await client.get_object(Bucket="bucket", Key="k")
            async with got["Body"] as stream:
                print(await stream.read())
            got = await client.get_object(Bucket="bucket", Key="large")
            sizes = [len(chunk) async for chunk in got["Body"].iter_chunks(50_000)]
            print(sum(sizes), max(sizes))
            try:
                await client.get_object(Bucket="bucket", Key="none")
            except client.exceptions.NoSuchKey as exc:
                print(exc)
            inner = client._endpoint.http_session._sessions[None]
            engine(inner)
        dead = session.create_client("s3", region_name="us-east-1", endpoint_url="http://127.0.0.1:1",
            aws_access_key_id="a", aws_secret_access_key="b",
            config=__import__("aiobotocore").config.AioConfig(retries={"max_attempts": 0}))
        async with dead as client:
            try:
                await client.get_object(Bucket="bucket", Key="none")
            except botocore.exceptions.EndpointConnectionError as exc:
                print(type(exc).__name__)

asyncio.run(main())
"""
    lines = both(program, tmp_path, "aiohttp")
    assert lines[1] == "b'small'" and lines[-1] == "EndpointConnectionError"

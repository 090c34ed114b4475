"""Django under ASGI on uvicorn: asynchronous views and ORM (SQLite in a thread), streams."""

from __future__ import annotations

import asyncio
import contextlib
import os

import django
import httpx
import pytest
import support
import uvicorn
from django.conf import settings
from servers import run

if not settings.configured:
    settings.configure(
        ALLOWED_HOSTS=["*"],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": None}},
        DATA_UPLOAD_MAX_MEMORY_SIZE=10_000_000,
        LOGGING_CONFIG=None,
        ROOT_URLCONF=(),
        SECRET_KEY="of these tests",
        USE_TZ=True,
    )
    django.setup()

from django.core.handlers.asgi import ASGIHandler  # noqa: E402
from django.db import connection, models, transaction  # noqa: E402
from django.http import HttpResponse, JsonResponse, StreamingHttpResponse  # noqa: E402
from django.test import override_settings  # noqa: E402
from django.urls import path  # noqa: E402


class Note(models.Model):
    text = models.TextField()

    class Meta:
        app_label = "notes"


class Urls:
    """A module of URLs, as far as Django looks."""

    def __init__(self, *patterns):
        self.urlpatterns = patterns


async def notes(request):
    if request.method == "POST":
        note = await Note.objects.acreate(text=request.body.decode())
        return JsonResponse({"id": note.pk}, status=201)
    return JsonResponse({"notes": [note.text async for note in Note.objects.order_by("pk")]})


def by_thread(request):
    with transaction.atomic():
        return JsonResponse({"count": Note.objects.count()})


async def echo(request):
    return HttpResponse(request.body)


async def parts(request):
    async def generate():
        for n in range(100):
            yield f"part {n}\n"
            await asyncio.sleep(0)

    return StreamingHttpResponse(generate())


ended = []


async def endless(request):
    async def generate():
        try:
            while True:
                yield b"more "
                await asyncio.sleep(0.001)
        finally:
            ended.append(True)

    return StreamingHttpResponse(generate())


URLS = Urls(
    path("notes", notes),
    path("thread", by_thread),
    path("echo", echo),
    path("parts", parts),
    path("endless", endless),
)


@pytest.fixture
def database(tmp_path):
    connection.settings_dict["NAME"] = tmp_path / "db.sqlite"
    with override_settings(ROOT_URLCONF=URLS), connection.schema_editor() as editor:
        editor.create_model(Note)
    connection.close()
    with override_settings(ROOT_URLCONF=URLS):
        yield


@contextlib.asynccontextmanager
async def client():
    config = uvicorn.Config(
        ASGIHandler(), host=support.LOCALHOST, port=0, log_config=None, lifespan="off"
    )
    server = uvicorn.Server(config)
    task = asyncio.ensure_future(server.serve())
    await support.until(lambda: server.started or task.done())
    port = server.servers[0].sockets[0].getsockname()[1]
    url = f"http://{support.LOCALHOST}:{port}"
    try:
        async with httpx.AsyncClient(base_url=url, timeout=30) as client:
            yield client
    finally:
        server.should_exit = True
        await asyncio.wait_for(task, 10 * support.SLOW)


def test_views_and_orm(loop, database):
    async def main():
        async with client() as http:
            for n in range(30):
                answer = await http.post("/notes", content=f"note {n}")
                assert (answer.status_code, answer.json()) == (201, {"id": n + 1})
            answers = await asyncio.gather(
                *(http.get(("/notes", "/thread")[n % 2]) for n in range(20))
            )
            for n, answer in enumerate(answers):
                assert (
                    answer.json()
                    == [{"notes": [f"note {n}" for n in range(30)]}, {"count": 30}][n % 2]
                )
            assert (await http.get("/nothing")).status_code == 404
            body = os.urandom(2_000_000)
            assert (await http.post("/echo", content=body)).content == body

    run(loop, main)


def test_streams(loop, database):
    async def main():
        async with client() as http:
            expected = "".join(f"part {n}\n" for n in range(100))
            answers = await asyncio.gather(*(http.get("/parts") for _ in range(20)))
            assert {answer.text for answer in answers} == {expected}
            # A client that leaves: the stream's generator is closed.
            async with http.stream("GET", "/endless") as response:
                async for part in response.aiter_bytes():
                    assert part.startswith(b"more ")
                    break
            await support.until(lambda: ended)
            ended.clear()

    run(loop, main)

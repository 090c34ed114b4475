"""Instrumentation: trace configurations put into every session by a wrapped __init__()."""

from __future__ import annotations

from pathlib import Path

import pytest
from eco_support import both

pytestmark = pytest.mark.unsanitized


def test_sentry_sdk(tmp_path: Path) -> None:
    program = """
import sentry_sdk
from sentry_sdk.integrations.aiohttp import AioHttpIntegration
from sentry_sdk.transport import Transport

events = []

class Kept(Transport):
    def capture_envelope(self, envelope):
        for item in envelope.items:
            events.append(item.payload.json)

async def hello(request):
    return web.json_response({"trace": "sentry-trace" in request.headers,
                              "baggage": "baggage" in request.headers})

async def main():
    sentry_sdk.init("http://key@127.0.0.1:1/1", transport=Kept, traces_sample_rate=1.0,
                    integrations=[AioHttpIntegration()], default_integrations=False)
    async with serve(rest=hello) as url:
        with sentry_sdk.start_transaction(name="it"):
            async with aiohttp.ClientSession() as session:
                engine(session)
                async with session.get(url + "/a?b=c") as response:
                    print(await response.json())
                async with session.post(url + "/d", json={}) as response:
                    print(response.status)
                try:
                    await session.get("http://127.0.0.1:1/")
                except aiohttp.ClientConnectorError:
                    print("refused")
    sentry_sdk.flush()
    for event in events:
        if event.get("transaction") == "it":
            for span in event["spans"]:
                description = span["description"].replace(url, "URL")
                data = span.get("data", {})
                print(span["op"], description, data.get("http.response.status_code"))

asyncio.run(main())
"""
    lines = both(program, tmp_path, "uvolt")
    assert lines[0] == "{'trace': True, 'baggage': True}"
    assert any(line.startswith("http.client GET URL/a") and line.endswith("200") for line in lines)


def test_opentelemetry(tmp_path: Path) -> None:
    program = """
from opentelemetry.instrumentation.aiohttp_client import (
    AioHttpClientInstrumentor, create_trace_config)
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

kept = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(kept))

async def hello(request):
    return web.json_response({"traced": "traceparent" in request.headers})

async def use(url, **options):
    async with aiohttp.ClientSession(**options) as session:
        engine(session)
        async with session.get(url + "/a") as response:
            print(await response.json())
        async with session.post(url + "/b", data=b"1") as response:
            print(response.status)
        try:
            await session.get("http://127.0.0.1:1/")
        except aiohttp.ClientConnectorError:
            print("refused")
    for span in kept.get_finished_spans():
        there = {k: str(v).replace(url, "URL") for k, v in sorted(span.attributes.items())}
        there = {k: v for k, v in there.items() if not v.isdigit() or k.endswith("status_code")}
        print(span.name, span.status.status_code, there, [event.name for event in span.events])
    kept.clear()

async def main():
    async with serve(rest=hello) as url:
        AioHttpClientInstrumentor().instrument(tracer_provider=provider)
        await use(url)
        AioHttpClientInstrumentor().uninstrument()
        await use(url)
        await use(url, trace_configs=[create_trace_config(tracer_provider=provider)])

asyncio.run(main())
"""
    lines = both(program, tmp_path, "uvolt", "uvolt", "uvolt")
    assert lines.count("{'traced': True}") == 2 and lines.count("{'traced': False}") == 1
    assert sum(line.startswith("GET ") for line in lines) == 4

"""Four API calls in parallel with aiohttp, against a server that it starts itself."""

import asyncio
from typing import Any

import aiohttp
from aiohttp import web

ANSWERS: dict[str, Any] = {
    "users": ["Ada", "Grace", "Edsger"],
    "weather": {"city": "Ulm", "celsius": 21},
    "stock": {"ACME": 101.5},
    "news": ["An event loop was written in C"],
}


async def answer(request: web.Request) -> web.Response:
    await asyncio.sleep(0.05)  # the service thinks
    return web.json_response(ANSWERS[request.match_info["name"]])


async def start_server() -> tuple[web.AppRunner, str]:
    app = web.Application()
    app.router.add_get("/{name}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0]
    return runner, f"http://{host}:{port}"


async def call(session: aiohttp.ClientSession, name: str) -> Any:
    async with session.get(f"/{name}") as response:
        response.raise_for_status()
        return await response.json()


async def main() -> None:
    runner, url = await start_server()
    try:
        async with aiohttp.ClientSession(url) as session:
            answers = await asyncio.gather(*[call(session, name) for name in ANSWERS])
        for name, result in zip(ANSWERS, answers, strict=True):
            print(f"{name}: {result}")
    finally:
        await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(main())

"""API calls in parallel with uvolt.http, some of which fail, against a server of its own."""

import asyncio
from typing import Any

from aiohttp import web

import uvolt
from uvolt import http

PRICES = {"apples": 1.2, "bread": 3.5, "cheese": 12.0}


async def price(request: web.Request) -> web.Response:
    await asyncio.sleep(0.05)  # the service thinks
    item = request.query["item"]
    if item == "dragons":
        return web.json_response({"error": "out of stock"}, status=503)
    if item not in PRICES:
        return web.json_response({"error": "no such item"}, status=404)
    return web.json_response({"item": item, "price": PRICES[item]})


async def order(request: web.Request) -> web.Response:
    items = (await request.json())["items"]
    total = sum(PRICES[item] for item in items)
    return web.json_response({"total": total, "by": request.headers["Authorization"]})


async def start_server() -> tuple[web.AppRunner, str]:
    app = web.Application()
    app.add_routes([web.get("/price", price), web.post("/order", order)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0]
    return runner, f"http://{host}:{port}"


async def ask(session: http.ClientSession, item: str) -> Any:
    """The price of an item; asked again when the service is busy, at most three times."""
    for attempt in range(3):
        async with session.get("/price", params={"item": item}) as response:
            if response.status == 503 and attempt < 2:
                await asyncio.sleep(0.01 * 2**attempt)
                continue
            response.raise_for_status()
            return (await response.json())["price"]


async def main() -> None:
    runner, url = await start_server()
    try:
        timeout = http.ClientTimeout(total=10, sock_connect=2)
        async with http.ClientSession(url, timeout=timeout) as session:
            items = [*PRICES, "unicorns", "dragons"]
            answers = await asyncio.gather(
                *[ask(session, item) for item in items], return_exceptions=True
            )
            for item, answer in zip(items, answers, strict=True):
                if isinstance(answer, http.ClientResponseError):
                    print(f"{item}: {answer.status} {answer.message}")
                else:
                    print(f"{item}: {answer:.2f}")

            headers = {"Authorization": http.encode_basic_auth("ada", "secret")}
            data = {"items": ["apples", "bread"]}
            async with session.post("/order", json=data, headers=headers) as response:
                print("order:", (await response.json())["total"])
    finally:
        await runner.cleanup()


if __name__ == "__main__":
    uvolt.run(main())

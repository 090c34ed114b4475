"""A FastAPI application under uvicorn, in this process, and clients that call it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import uvicorn
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel


class Item(BaseModel):
    name: str
    price: float


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    print("application starts")
    yield
    print("application stops")


app = FastAPI(lifespan=lifespan)
items: dict[int, Item] = {}


@app.put("/items/{number}")
async def put_item(number: int, item: Item) -> Item:
    await asyncio.sleep(0.01)
    items[number] = item
    return item


@app.get("/items/{number}")
async def get_item(number: int) -> Item:
    if number not in items:
        raise HTTPException(404, "no such item")
    return items[number]


@app.get("/total")
def total() -> float:  # not async: FastAPI calls it in a thread
    return sum(item.price for item in items.values())


async def use(url: str) -> None:
    async with aiohttp.ClientSession(url) as session:

        async def put(number: int) -> str:
            item = {"name": f"item {number}", "price": number * 1.5}
            async with session.put(f"/items/{number}", json=item) as response:
                return f"{response.status} {await response.text()}"

        print(*await asyncio.gather(*[put(n) for n in range(1, 6)]), sep="\n")
        for path in ("/items/3", "/items/99", "/items/three", "/total"):
            async with session.get(path) as response:
                body = await response.json()
                print(path, response.status, body if response.status != 422 else "not a number")


async def main() -> None:
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    host, port = server.servers[0].sockets[0].getsockname()
    try:
        await use(f"http://{host}:{port}")
    finally:
        server.should_exit = True
        await serving


if __name__ == "__main__":
    asyncio.run(main())

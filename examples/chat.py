"""A chat server on asyncio streams, and three clients that talk to each other."""

import asyncio


class ChatServer:
    def __init__(self) -> None:
        self.clients: dict[str, asyncio.StreamWriter] = {}
        self.tasks: list[asyncio.Future[None]] = []

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.tasks.append(asyncio.ensure_future(self.serve(reader, writer)))

    async def tell_all(self, text: str, but: str = "") -> None:
        for name, writer in list(self.clients.items()):
            if name != but:
                writer.write(f"{text}\n".encode())
                await writer.drain()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        name = (await reader.readline()).decode().strip()
        self.clients[name] = writer
        await self.tell_all(f"* {name} joined")
        try:
            while line := await reader.readline():
                await self.tell_all(f"{name}: {line.decode().strip()}", but=name)
        finally:
            del self.clients[name]
            await self.tell_all(f"* {name} left")
            writer.close()
            await writer.wait_closed()


class Client:
    def __init__(self, name: str) -> None:
        self.name = name
        self.heard: list[str] = []

    async def connect(self, port: int) -> None:
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", port)
        await self.say(self.name)
        await self.listen()

    async def say(self, text: str) -> None:
        self.writer.write(f"{text}\n".encode())
        await self.writer.drain()

    async def listen(self) -> None:
        self.heard.append((await self.reader.readline()).decode().strip())

    async def leave(self) -> None:
        self.writer.close()
        await self.writer.wait_closed()


async def main() -> None:
    chat = ChatServer()
    server = await asyncio.start_server(chat.accept, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]

    present: list[Client] = []
    for name in ("ann", "bob", "cleo"):
        newcomer = Client(name)
        await newcomer.connect(port)
        await asyncio.gather(*[client.listen() for client in present])
        present.append(newcomer)

    ann, bob, cleo = present
    for speaker, text in ((ann, "hello everyone"), (cleo, "hi ann"), (bob, "good morning")):
        await speaker.say(text)
        await asyncio.gather(*[client.listen() for client in present if client is not speaker])

    while present:
        await present.pop(0).leave()
        await asyncio.gather(*[client.listen() for client in present])

    for client in (ann, bob, cleo):
        print(f"{client.name} heard:")
        for line in client.heard:
            print(f"  {line}")

    server.close()
    await asyncio.gather(*chat.tasks)
    await server.wait_closed()
    print("clients left:", len(chat.clients))


if __name__ == "__main__":
    asyncio.run(main())

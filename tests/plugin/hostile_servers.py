"""Servers on loopback whose chat endpoint sends what a test says, once and for ever."""

from __future__ import annotations

import asyncio
import contextlib
import threading

MODELS = b'{"data": [{"id": "gpt-oss-20b", "max_model_len": 8192}]}'


class HostileServers:
    """Servers on loopback, each sound but for what its chat endpoint sends; one thread runs them all."""

    def __init__(self) -> None:
        self.thief_was_asked = False
        self._listening: list[asyncio.Server] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()

    def start(self, once: bytes, for_ever: bytes) -> str:
        async def connected(reader, writer):
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                while True:
                    head = await reader.readuntil(b"\r\n\r\n")
                    if b"content-length:" in head.lower():
                        length = head.lower().split(b"content-length:")[1].split(b"\r\n")[0]
                        await reader.readexactly(int(length))
                    if not head.startswith(b"POST /v1/chat/completions"):
                        known = head.startswith(b"GET /v1/models")
                        body, status = (MODELS, b"200 OK") if known else (b"{}", b"404 Not Found")
                        writer.write(
                            b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
                            % (status, len(body), body)
                        )
                        await writer.drain()
                        continue
                    writer.write(once)
                    await writer.drain()
                    while for_ever:
                        writer.write(for_ever)
                        await writer.drain()
                    break
            writer.transport.abort() if for_ever else writer.close()

        return self._listen(connected)

    def thief(self) -> str:
        async def connected(reader, writer):
            self.thief_was_asked = True
            writer.close()

        return self._listen(connected)

    def _listen(self, connected) -> str:
        async def listen():
            server = await asyncio.start_server(connected, "127.0.0.1", 0)
            self._listening.append(server)
            return server.sockets[0].getsockname()[1]

        return f"http://127.0.0.1:{asyncio.run_coroutine_threadsafe(listen(), self._loop).result(60)}"

    def stop(self) -> None:
        async def end():
            for server in self._listening:
                server.close()
            tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(end(), self._loop).result(60)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

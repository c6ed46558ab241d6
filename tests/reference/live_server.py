"""The application on a real socket in a thread, for what only a connection shows."""

import threading

import httpx
import uvicorn

from pytest_gptoss.reference.server import create_app
from pytest_gptoss.reference.service import Service

BOUND_S = 30


class LiveServer(uvicorn.Server):
    """A context; ``url`` is where it answers, ``client`` asks there."""

    def __init__(self, engine, **settings):
        service = Service(engine, model="gpt-oss-20b", root="tiny", dtype="float32", **settings)
        super().__init__(
            uvicorn.Config(
                create_app(service),
                port=0,
                lifespan="off",
                ws="none",
                log_config=None,
                access_log=False,
                timeout_graceful_shutdown=1,
            )
        )
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self.run)

    async def startup(self, sockets=None):
        await super().startup(sockets)
        self.url = f"http://127.0.0.1:{self.servers[0].sockets[0].getsockname()[1]}"
        self._ready.set()

    def __enter__(self):
        self._thread.start()
        assert self._ready.wait(BOUND_S)
        self.client = httpx.Client(base_url=self.url, timeout=BOUND_S, verify=False)
        return self

    def __exit__(self, *_):
        self.client.close()
        self.should_exit = True
        self._thread.join(BOUND_S)
        assert not self._thread.is_alive()

"""The application: routes, the API key, and errors in vLLM's words."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.paths import CHAT_PATH, COMPLETIONS_PATH, POOLING_PATH
from pytest_gptoss.reference import metrics
from pytest_gptoss.reference.api_errors import ApiError
from pytest_gptoss.reference.chat import complete_chat, render_chat
from pytest_gptoss.reference.completions import complete_text
from pytest_gptoss.reference.pooling import pool
from pytest_gptoss.reference.replies import ClientLeft, JsonReply, internal_error
from pytest_gptoss.reference.server_info import dev_mode, server_info
from pytest_gptoss.reference.service import Service, random_hex, service_of
from pytest_gptoss.reference.tokenizing import detokenize, tokenize

__all__ = ["create_app"]

Handler: TypeAlias = Callable[[Request], Awaitable[Response]]


def create_app(service: Service, *, api_key: str | None = None) -> ASGIApp:
    """The ASGI application of one served model; ``api_key`` guards everything under /v1."""
    development = [Route("/server_info", _guarded(server_info), methods=["GET"])] if dev_mode() else []
    app = Starlette(
        routes=[
            *development,
            Route("/health", _guarded(_alive), methods=["GET"]),
            Route("/ping", _guarded(_alive), methods=["GET", "POST"]),
            Route("/version", _guarded(_version), methods=["GET"]),
            Route("/metrics", _guarded(_metrics), methods=["GET"]),
            Route("/tokenize", _guarded(tokenize), methods=["POST"]),
            Route("/detokenize", _guarded(detokenize), methods=["POST"]),
            Route(POOLING_PATH, _guarded(pool), methods=["POST"]),
            Route("/v1/models", _guarded(_models), methods=["GET"]),
            Route(COMPLETIONS_PATH, _guarded(complete_text), methods=["POST"]),
            Route(CHAT_PATH, _guarded(complete_chat), methods=["POST"]),
            Route(f"{CHAT_PATH}/render", _guarded(render_chat), methods=["POST"]),
        ],
        exception_handlers={HTTPException: _router_error},
    )
    app.router.redirect_slashes = False
    app.state.service = service
    return _KeyCheck(app, api_key) if api_key else app


def _guarded(handler: Handler) -> Handler:
    """A route whose every failure is an answer."""

    async def guarded(request: Request) -> Response:
        try:
            return await handler(request)
        except ApiError as error:
            return JsonReply(error.body(), status_code=error.status)
        except ClientLeft:
            return Response(status_code=499)
        except Exception as error:
            return JsonReply(internal_error(error), status_code=500)

    return guarded


async def _router_error(_: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    return JsonReply({"detail": error.detail}, status_code=error.status_code, headers=error.headers)


class _KeyCheck:
    """Lets requests under /v1 pass that carry the key; it is kept and compared as a digest only."""

    def __init__(self, app: ASGIApp, api_key: str) -> None:
        self._app = app
        self._digest = _digest(api_key)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith("/v1") and not self._knows(scope):
            await JsonReply({"error": "Unauthorized"}, status_code=401)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _knows(self, scope: Scope) -> bool:
        given = Request(scope).headers.get("authorization", "")
        scheme, _, key = given.partition(" ")
        return scheme.lower() == "bearer" and secrets.compare_digest(_digest(key), self._digest)


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


async def _alive(_: Request) -> Response:
    return Response()


async def _version(request: Request) -> Response:
    service = service_of(request)
    body: Json = {"version": service.version}
    if service.defect:
        body["defect"] = service.defect
    return JsonReply(body)


async def _metrics(request: Request) -> Response:
    service = service_of(request)
    page = metrics.exposition(service.engine.stats, service.finished, model=service.model)
    return Response(page, headers={"content-type": metrics.CONTENT_TYPE})


async def _models(request: Request) -> Response:
    service = service_of(request)
    permission = {
        "id": f"modelperm-{random_hex()}",
        "object": "model_permission",
        "created": service.created,
        "allow_create_engine": False,
        "allow_sampling": True,
        "allow_logprobs": True,
        "allow_search_indices": False,
        "allow_view": True,
        "allow_fine_tuning": False,
        "organization": "*",
        "group": None,
        "is_blocking": False,
    }
    model = {
        "id": service.model,
        "object": "model",
        "created": service.created,
        "owned_by": "pytest-gptoss",
        "root": service.root,
        "parent": None,
        "max_model_len": service.engine.max_model_len,
        "permission": [permission],
    }
    return JsonReply({"object": "list", "data": [model]})

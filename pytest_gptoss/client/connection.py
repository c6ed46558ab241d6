"""An httpx client bound to one server: its key, its certificates, no redirects, proxies only on request."""

from __future__ import annotations

import logging
import os
import ssl
from collections.abc import Generator
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies_environment, proxy_bypass_environment  # type: ignore[attr-defined]

import httpx

from pytest_gptoss import __version__
from pytest_gptoss.client.endpoint import Endpoint, Secret
from pytest_gptoss.model.errors import UsageError

__all__ = ["bound_http_client", "proxy_variables", "trusted_context"]

_ONE_REQUEST_EACH = httpx.Limits(max_connections=None, max_keepalive_connections=0)
"""No connection is used twice: a request sent while the server closes an idle one would fail through our
fault, and a measured request is not sent again. Load has a transport of its own, which reuses connections."""

_LOGGERS = ("httpx", *(f"httpcore.{part}" for part in ("connection", "http11", "http2", "proxy", "socks")))
"""Loggers of httpx and httpcore that log an answer's headers and reason phrase. A logger's filter does not
apply to its children, so each is named."""


def bound_http_client(
    endpoint: Endpoint, *, timeout: httpx.Timeout, ca_bundle: Path | None, trust_env: bool
) -> httpx.AsyncClient:
    """An httpx client with the endpoint's root as base URL and its key on every request.

    Redirects are not followed, so the key goes to this server only. While the client is open, a key that the
    server repeats is taken out of the logs of httpx and httpcore. ``ca_bundle`` replaces the public
    certificate authorities; the environment's proxies are used only with ``trust_env``. Raises UsageError
    for a bundle that holds no certificates and for a proxy that cannot be used.
    """
    try:
        return _BoundClient(
            endpoint.api_key,
            base_url=endpoint.root,
            auth=None if endpoint.api_key is None else _Bearer(endpoint.api_key),
            # Compression would cost both sides time and hide how many bytes came.
            headers={"User-Agent": f"pytest-gptoss/{__version__}", "Accept-Encoding": "identity"},
            follow_redirects=False,
            limits=_ONE_REQUEST_EACH,
            timeout=timeout,
            trust_env=trust_env,
            verify=_trusted(endpoint, ca_bundle, trust_env=trust_env),
        )
    except (ImportError, ValueError, httpx.InvalidURL):
        names = ", ".join(proxy_variables(endpoint.root)) or "the environment"
        raise UsageError(
            f"--gptoss-trust-env: the proxy in {names} cannot be used (it takes http://HOST:PORT): "
            "correct it or leave the option out"
        ) from None


def proxy_variables(root: str) -> tuple[str, ...]:
    """Names of the environment variables whose proxy applies to this server; none where NO_PROXY does."""
    parts = urlsplit(root)
    if proxy_bypass_environment(parts.netloc, getproxies_environment()):
        return ()
    wanted = {f"{parts.scheme}_proxy", "all_proxy"}
    return tuple(sorted(name for name, value in os.environ.items() if value and name.lower() in wanted))


class _BoundClient(httpx.AsyncClient):
    """Takes the key out of the logs of httpx and httpcore while it is open."""

    def __init__(self, key: Secret | None, **settings: Any) -> None:
        super().__init__(**settings)
        self._scrubbing = None if key is None else _Scrubbing(key)

    async def __aenter__(self) -> _BoundClient:
        if self._scrubbing is not None:
            for name in _LOGGERS:
                logging.getLogger(name).addFilter(self._scrubbing)
        return await super().__aenter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        try:
            await super().__aexit__(kind, error, traceback)
        finally:
            if self._scrubbing is not None:
                for name in _LOGGERS:
                    logging.getLogger(name).removeFilter(self._scrubbing)


class _Scrubbing(logging.Filter):
    """Takes the key out of each record's text; suppresses no record."""

    def __init__(self, key: Secret) -> None:
        super().__init__()
        self._key = key

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        scrubbed = self._key.scrub(text)
        if scrubbed != text:
            record.msg, record.args = scrubbed, ()
        return True


class _Bearer(httpx.Auth):
    """Adds the key to each request, so that no client object holds it in its default headers."""

    def __init__(self, key: Secret) -> None:
        self._key = key

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["Authorization"] = f"Bearer {self._key.reveal()}"
        yield request


def trusted_context(
    endpoint: Endpoint, ca_bundle: Path | None, *, trust_env: bool = False
) -> ssl.SSLContext | None:
    """The certificates to trust: the bundle's if one is given, else the public CAs'; None for plain HTTP.

    With ``trust_env`` SSL_CERT_FILE or SSL_CERT_DIR replace the public CAs, as in httpx. Raises UsageError
    for a bundle that holds no certificates.
    """
    if endpoint.root.startswith("http://"):
        return None
    return httpx.create_ssl_context(trust_env=trust_env) if ca_bundle is None else _bundle(ca_bundle)


def _trusted(endpoint: Endpoint, ca_bundle: Path | None, *, trust_env: bool) -> ssl.SSLContext | bool:
    """The certificates to trust: the bundle's if one is given, else the public CAs' (httpx's default)."""
    if endpoint.root.startswith("http://") and not trust_env:
        # Plain HTTP: an empty context saves the 70 ms that loading the public CAs takes.
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return True if ca_bundle is None else _bundle(ca_bundle)


def _bundle(ca_bundle: Path) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=str(ca_bundle))
    except (OSError, ssl.SSLError) as error:
        raise UsageError(
            f"--gptoss-ca-bundle {str(ca_bundle)!r} holds no certificates in PEM form ({error}): "
            "name the file of the CA that signed the server's certificate"
        ) from None

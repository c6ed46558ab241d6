"""HTTP statuses and failed connections as RequestErrors, each with a message of one line.

A message names the URL, what came back, and the way out. Such errors are raised ``from None``: the frames
below hold request headers, and a traceback that shows local variables would print the API key.
"""

from __future__ import annotations

import os
import re
import socket
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus

import httpx

from pytest_gptoss.client.bodies import cause_of, condense, is_web_page, refusal_text
from pytest_gptoss.client.endpoint import Endpoint
from pytest_gptoss.client.gateway import gateway_advice
from pytest_gptoss.model.errors import (
    ConnectError,
    DialectError,
    RequestError,
    RequestTimeout,
    StatusError,
    TlsError,
    UnknownHost,
)
from pytest_gptoss.model.key_variables import key_variable
from pytest_gptoss.model.message import say
from pytest_gptoss.model.paths import POOLING_PATH
from pytest_gptoss.model.subjects import Role

__all__ = ["Interpreter"]

_LOGPROBS_TOO_MANY = re.compile(r"logprobs of (\d+), which is greater than max allowed", re.IGNORECASE)
_NO_SUCH_MODEL = re.compile(r"model .* does not exist", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Interpreter:
    """Makes errors for one server; by its role it knows which options and variables to name."""

    endpoint: Endpoint
    role: Role
    url_option: str

    @property
    def key_variable(self) -> str:
        """The environment variable that holds this role's API key."""
        return key_variable(self.role)

    @property
    def model_option(self) -> str:
        """The option that names this role's served model."""
        return "--gptoss-cpu-model-name" if self.role == "cpu" else f"--gptoss-{self.role}-model"

    def scrub(self, text: str) -> str:
        """``text`` without the API key, which a server may echo."""
        key = self.endpoint.api_key
        return text if key is None else key.scrub(text)

    def refused(
        self, where: str, path: str, status: int, headers: Mapping[str, str], body: bytes
    ) -> StatusError:
        """The error for an answer whose status is no success."""
        content_type = headers.get("content-type", "")
        said = self.scrub(refusal_text(body, content_type))
        page = is_web_page(content_type, body)
        quoted = say(" (a web page: {said})", said=said) if said and page else f" ({said})" if said else ""
        if 300 <= status < 400:
            advice = self._redirected(headers)
        else:
            # A gateway that refuses for the model's context gives that reason, which says more than its name.
            advice_of_gateway = None if cause_of(said) == "context" else gateway_advice(status, headers, body)
            advice = advice_of_gateway or self._way_out(path, status, said, page)
        return StatusError(
            say(
                "{where} answered {status} {phrase}{quoted}: {advice}",
                where=where,
                status=status,
                phrase=_phrase(status),
                quoted=quoted,
                advice=advice,
            ),
            status=status,
            cause=cause_of(said),
        )

    def no_stream(self, where: str, content_type: str, body: bytes) -> DialectError:
        """The error for an answer that should have been an event stream."""
        said = self.scrub(refusal_text(body, content_type))
        named = self.scrub(condense(content_type, 60)) or say("no event")
        came = say("a web page") if is_web_page(content_type, body) else named
        return DialectError(
            say(
                "{where}: expected an event stream, but {came} came ({said}): is {root} the vLLM "
                "server's root?",
                where=where,
                came=came,
                said=said,
                root=self.endpoint.root,
            )
        )

    def unconnected(self, where: str, error: Exception, *, connect_s: float) -> RequestError:
        """The error for a request without an answer; ``connect_s`` is the bound on connecting, in s."""
        causes = list(_causes(error))
        reason = self.scrub(condense(str(error))) or type(error).__name__
        if isinstance(error, httpx.ConnectTimeout):
            return RequestTimeout(
                say(
                    "{where}: no connection within {connect_s:g} s: is the address right, and does a "
                    "firewall drop it? check {url_option}",
                    where=where,
                    connect_s=connect_s,
                    url_option=self.url_option,
                )
            )
        if isinstance(error, httpx.ProxyError):
            return ConnectError(
                say(
                    "{where}: the proxy of the environment refused ({reason}): leave out "
                    "--gptoss-trust-env to go without it",
                    where=where,
                    reason=reason,
                )
            )
        for cause in causes:
            if isinstance(cause, ssl.SSLError):
                return self._untrusted(where, cause)
        if any(isinstance(cause, socket.gaierror) for cause in causes):
            return UnknownHost(
                say(
                    "{where}: the host's name is not known ({reason}): check {url_option}",
                    where=where,
                    reason=reason,
                    url_option=self.url_option,
                )
            )
        if isinstance(error, httpx.ConnectError):
            # The error of the system call lies below "All connection attempts failed".
            number = next(
                (cause.errno for cause in causes if isinstance(cause, OSError) and cause.errno), None
            )
            reason = reason if number is None else os.strerror(number)
            return ConnectError(
                say(
                    "{where}: no server answers there ({reason}): is it started, and is {url_option} right?",
                    where=where,
                    reason=reason,
                    url_option=self.url_option,
                )
            )
        return ConnectError(
            say(
                "{where}: the connection was closed before an answer came ({reason}): see the "
                "server's log; is {scheme} the right scheme?",
                where=where,
                reason=reason,
                scheme=self.endpoint.root.partition(":")[0],
            )
        )

    def _untrusted(self, where: str, error: ssl.SSLError) -> TlsError:
        reason = condense(getattr(error, "verify_message", "") or error.reason or str(error))
        if isinstance(error, ssl.SSLCertVerificationError):
            return TlsError(
                say(
                    "{where}: certificate verification failed ({reason}): name the CA that signed it "
                    "with --gptoss-ca-bundle FILE, and the host as the certificate does in "
                    "{url_option}",
                    where=where,
                    reason=reason,
                    url_option=self.url_option,
                )
            )
        return TlsError(
            say(
                "{where}: the TLS handshake failed ({reason}): does the server speak https at "
                "all? check {url_option}",
                where=where,
                reason=reason,
                url_option=self.url_option,
            )
        )

    def _redirected(self, headers: Mapping[str, str]) -> str:
        # The query may hold a token, and the part before "@" a password: neither is shown.
        target = headers.get("location", "").partition("?")[0]
        scheme, mark, rest = target.partition("//")
        place = self.scrub(condense(f"{scheme}{mark}{rest.rpartition('@')[2]}"))
        return say(
            "it redirects to {place}, and redirects are not followed, so that a key goes to "
            "its own server only: give the final address with {url_option}",
            place=place or say("nowhere"),
            url_option=self.url_option,
        )

    def _way_out(self, path: str, status: int, said: str, page: bool) -> str:
        root = self.endpoint.root
        if status in (401, 403):
            return (
                say("set {key_variable} to this server's key", key_variable=self.key_variable)
                if self.endpoint.api_key is None
                else say("the key in {key_variable} is not this server's", key_variable=self.key_variable)
            )
        if _NO_SUCH_MODEL.search(said):
            return say(
                "name a model that the server lists with {model_option}", model_option=self.model_option
            )
        if cause_of(said) == "context":
            return say("prompt and answer do not fit: serve with a larger --max-model-len or ask for less")
        too_many = _LOGPROBS_TOO_MANY.search(said)
        if too_many:
            return say("serve with --max-logprobs {too_many} or more", too_many=too_many[1])
        if status in (404, 405) and not page and path == POOLING_PATH:
            return say(
                "this server computes no hidden states: start one with --runner pooling and name "
                "it with --gptoss-hidden-{role}",
                role=self.role,
            )
        if status in (404, 405):
            return say(
                "is {root} the root of the vLLM server? check {url_option}",
                root=root,
                url_option=self.url_option,
            )
        if status == 503:
            return say("the server is starting, overloaded or dead: see its log")
        return (
            say("see the server's log")
            if status >= 500
            else say("the server does not take this request: see its log")
        )


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        each = waiting.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        # Several addresses of one host fail together: Python 3.11 groups such errors.
        waiting += [each.__context__, each.__cause__, *getattr(each, "exceptions", ())]


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return say("(no standard status)")

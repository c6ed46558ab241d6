"""Refusals by a proxy or gateway in front of vLLM: which one answered, and which of its limits to raise."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from pytest_gptoss.model.message import say

__all__ = ["gateway_advice"]

_ANY = say("a proxy or gateway before the server")


@dataclass(frozen=True, slots=True)
class _Kind:
    """A kind of gateway: how its Server header or its page identifies it, and its limits by status."""

    name: str
    header: re.Pattern[str]
    page: re.Pattern[str]
    limits: Mapping[int, str]


def _kind(name: str, header: str, page: str, limits: dict[int, str]) -> _Kind:
    flags = re.IGNORECASE
    return _Kind(name, re.compile(header, flags), re.compile(page, flags), MappingProxyType(limits))


_KINDS = (
    _kind("Envoy", r"envoy",
          r"\bupstream (?:connect error|request timeout)|no healthy upstream|local_rate_limited",
          {413: say("the Buffer filter's max_request_bytes, or per_connection_buffer_limit_bytes"),
           429: say("the rate limit of the route (local_ratelimit, ratelimit)"),
           431: "max_request_headers_kb",
           504: say("the route's timeout (15 s by default) and idle_timeout")}),
    _kind("HAProxy", r"haproxy", r"<h1>\d{3} [^<]*</h1>\s*(?:No server is available|The server "
          r"(?:didn't respond|returned an invalid)|Your browser didn't|The request entity exceeds|"
          r"You have sent too many)",
          {408: "timeout http-request",
           413: say("its http-request rule on the body's size"),
           429: say("its http-request deny rule"),
           504: "timeout server"}),
    _kind("Traefik", r"traefik",
          r"\A(?:Bad Gateway|Gateway Timeout|Too Many Requests|Request Entity Too Large)\s*\Z",
          {413: say("maxRequestBodyBytes of the buffering middleware"),
           429: say("average and burst of the rateLimit middleware"),
           431: say("maxHeaderBytes of the entry point"),
           504: say("forwardingTimeouts of the servers transport")}),
    _kind("Apache", r"apache", r"<address>Apache",
          {413: "LimitRequestBody",
           414: "LimitRequestLine",
           431: "LimitRequestFieldSize",
           504: "ProxyTimeout"}),
    _kind(say("an AWS load balancer"), r"awselb", r"\bawselb/",
          {504: say("its idle timeout (60 s by default)")}),
    _kind("Cloudflare", r"cloudflare", r"<center>cloudflare|cf-error",
          {413: say("the plan's upload limit (100 MB)"),
           429: say("the rate limiting rule"),
           504: say("its proxy read timeout; stream, or go around it")}),
    _kind("nginx", r"nginx|openresty|tengine", r"<center>\s*(?:nginx|openresty|tengine)",
          {408: "client_body_timeout",
           413: say("client_max_body_size (1 MB by default; on an ingress the annotation "
                "nginx.ingress.kubernetes.io/proxy-body-size)"),
           414: "large_client_header_buffers",
           429: "limit_req and limit_conn",
           431: "large_client_header_buffers",
           504: say("proxy_read_timeout (60 s by default)")}),
)  # fmt: skip

_LIMITS: Mapping[int, str] = MappingProxyType(
    {
        408: say("the time that it waits for a request"),
        413: say("its limit of the request's body"),
        414: say("its limit of the request line"),
        429: say("its limit of the rate"),
        431: say("its limit of request headers"),
        504: say("the time that it waits for an answer"),
    }
)
"""What to raise where it is not known whose gateway it is."""
_MEANS: Mapping[int, str] = MappingProxyType(
    {
        408: say("the request did not reach it whole in time"),
        413: say("the prompt is larger than it lets through"),
        414: say("the address is longer than it lets through"),
        429: say("it limits the rate"),
        431: say("the request's headers (the API key among them) are larger than it lets through"),
        502: say(
            "it got no whole answer from the server behind it, which is not started, died or closed the "
            "connection: see vLLM's log, then the gateway's"
        ),
        503: say("it has no server behind it that is ready: see vLLM's log, then the gateway's"),
        504: say("the server behind it did not answer in the time that it waits"),
    }
)
_ALWAYS = frozenset({408, 413, 414, 429, 431, 502, 504})
"""vLLM itself answers with none of these."""
_READ = 8192
"""Bytes of a page that are looked at."""
_SECONDS = re.compile(r"[0-9]{1,7}")
_HEADERS_TOO_LARGE = "Request Header Or Cookie Too Large"
"""How nginx means 431: it answers 400."""


def gateway_advice(status: int, headers: Mapping[str, str], body: bytes) -> str | None:
    """Which gateway refused, what that means and which of its limits to raise, in a line.

    None where vLLM itself may have answered, or where the status says nothing of a gateway: then the usual
    advice applies. Where vLLM may answer with the same status, only a gateway's error page identifies it:
    gateways put their Server header on vLLM's answers too.
    """
    page = body[:_READ].decode("utf-8", "replace").strip()
    if status == 400 and _HEADERS_TOO_LARGE in page:
        status = 431
    means = _MEANS.get(status)
    if means is None:
        return None
    kind = next((each for each in _KINDS if each.page.search(page)), None)
    if status not in _ALWAYS and kind is None:
        return None
    kind = kind or next((each for each in _KINDS if each.header.search(headers.get("server", ""))), None)
    name = kind.name if kind else _ANY
    limit = (kind.limits if kind else {}).get(status) or _LIMITS.get(status)
    retry = headers.get("retry-after", "") if status == 429 else ""
    wait = say(" (it says: retry after {retry} s)", retry=retry) if _SECONDS.fullmatch(retry) else ""
    told = say("{name} answered, not vLLM: {means}{wait}", name=name, means=means, wait=wait)
    if not limit:
        return told
    if status == 429:
        return say("{told}: measure without {limit}", told=told, limit=limit)
    return say("{told}: raise {limit}", told=told, limit=limit)

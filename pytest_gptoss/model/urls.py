"""Server URLs as people paste them, brought down to the server's root."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import SplitResult, urlsplit

from pytest_gptoss.model.errors import UsageError
from pytest_gptoss.model.key_variables import key_variable
from pytest_gptoss.model.paths import CHAT_PATH, COMPLETIONS_PATH

__all__ = ["server_address", "server_root"]

_PASTED_ENDINGS = (CHAT_PATH, COMPLETIONS_PATH, "/v1")
_HOST_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_URL_TEXT = re.compile(r"[!-~]+")
_SHOWN = 120


def server_root(url: str) -> str:
    """The server's root, without a slash at its end.

    ``url`` is that root, ``.../v1``, or a full ``.../v1/chat/completions`` or ``.../v1/completions``.
    A path before these (a proxy's) is kept. Raises UsageError naming value, rule and way out; a password in
    the value is not repeated.
    """
    value = url.strip()
    if not value:
        raise UsageError("the URL is empty: it takes a server root such as http://HOST:8000")
    if not _URL_TEXT.fullmatch(value) or "\\" in value:
        raise _refused(value, "holds a space or another character no URL has: percent-encode it")
    parts = _split(value)
    host = _host(value, parts)
    port = _port(value, parts)
    return f"{parts.scheme}://{host}{port}{_prefix(parts.path)}"


def server_address(url: str) -> str:
    """The server's root in one spelling, to tell whether two URLs name one server.

    With its port, no dot behind the host, one name for this machine. Raises UsageError as ``server_root``
    does.
    """
    parts = urlsplit(server_root(url))
    host = (parts.hostname or "").rstrip(".")
    host = "127.0.0.1" if host in ("localhost", "::1") else host
    port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    return f"{parts.scheme}://{host}:{port}{parts.path}"


def _split(value: str) -> SplitResult:
    if "://" not in value:
        raise _refused(value, "has no scheme: write http://HOST:PORT or https://HOST:PORT")
    try:
        parts = urlsplit(value)
    except ValueError:
        raise _refused(value, "has brackets that hold no IPv6 address: write http://[::1]:8000") from None
    if parts.scheme not in ("http", "https"):
        raise _refused(value, "has another scheme than http and https: vLLM serves these two")
    if "@" in parts.netloc:
        raise _refused(
            value,
            f"holds credentials: leave them out and set {key_variable('npu')} (or _GPU_, _CPU_) instead",
        )
    if "?" in value or "#" in value:
        raise _refused(value, "has a query or a fragment: give the server's root alone")
    return parts


def _host(value: str, parts: SplitResult) -> str:
    host = parts.hostname
    if not host:
        raise _refused(value, "names no host: write http://HOST:PORT (IPv6 in brackets)")
    if parts.netloc.startswith("["):
        return f"[{_ip_address(value, host, ipaddress.IPv6Address)}]"
    if all(label.isdigit() for label in host.split(".")) and "." in host:
        return str(_ip_address(value, host, ipaddress.IPv4Address))
    labels = host.removesuffix(".").split(".")
    if len(host) > 253 or not all(_HOST_LABEL.fullmatch(label) for label in labels):
        raise _refused(
            value,
            f"has no valid host name in {host[:_SHOWN]!r}: letters, digits, '-' and '.' (xn-- for others)",
        )
    return host


def _ip_address(
    value: str, host: str, kind: type[ipaddress.IPv4Address | ipaddress.IPv6Address]
) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    try:
        if "%" in host:
            raise ValueError
        return kind(host)
    except ValueError:
        raise _refused(
            value, f"has no IP address in {host[:_SHOWN]!r}: write it in full, without a zone"
        ) from None


def _port(value: str, parts: SplitResult) -> str:
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port == 0 or parts.netloc.endswith(":"):
        raise _refused(value, "has no usable port: 1 to 65535 after the colon (is a variable unset?)")
    return "" if port is None else f":{port}"


def _prefix(path: str) -> str:
    bare = path.rstrip("/")
    for ending in _PASTED_ENDINGS:
        if bare.endswith(ending):
            return bare.removesuffix(ending).rstrip("/")
    return bare


def _refused(value: str, rule: str) -> UsageError:
    return UsageError(f"URL {_without_secrets(value)!r} {rule}")


def _without_secrets(value: str) -> str:
    """Cut the value for a message: all before the last ``@`` and all of a query may be a secret."""
    shown = re.split(r"[?#]", value)[0]
    if len(shown) < len(value):
        shown += "?..."
    if "@" in value:
        head = value.partition("//")[0] + "//" if "//" in value else ""
        shown = f"{head}***@{shown.rpartition('@')[2]}" if "@" in shown else f"{head}***"
    return shown if len(shown) <= _SHOWN else shown[:_SHOWN] + "..."

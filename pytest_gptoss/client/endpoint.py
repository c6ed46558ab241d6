"""Where a server is: URLs as people paste them, brought down to the server's root; API keys kept secret."""

from __future__ import annotations

import ipaddress
import json
import re
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from pytest_gptoss.model.errors import UsageError
from pytest_gptoss.model.key_variables import KEY_VARIABLE, key_variable
from pytest_gptoss.model.paths import CHAT_PATH, COMPLETIONS_PATH

__all__ = ["Endpoint", "Secret"]

_PASTED_ENDINGS = (CHAT_PATH, COMPLETIONS_PATH, "/v1")
_HOST_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_URL_TEXT = re.compile(r"[!-~]+")
_KEY_TEXT = re.compile(r"[!-~]+")
_SHOWN = 120
_SHORTEST_PIECE = 3
_SHORTEST_TELLTALE = 12


class Secret:
    """An API key that shows itself only to who asks by name; ``str`` and ``repr`` give three stars.

    Raises UsageError when no HTTP header could carry it; white space around it is taken away.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        stripped = value.strip()
        if not _KEY_TEXT.fullmatch(stripped):
            raise UsageError(
                f"an API key of {len(stripped)} characters: it must be visible ASCII without spaces, "
                f"as an HTTP header carries it; set {KEY_VARIABLE} anew"
            )
        self._value = stripped

    def reveal(self) -> str:
        """Give the key itself, for the one header it belongs in."""
        return self._value

    def scrub(self, text: str) -> str:
        """``text`` without the key, which a server may echo: plain, escaped, or cut off by ``...``."""
        for written in {self._value, repr(self._value)[1:-1], json.dumps(self._value)[1:-1]}:
            text = text.replace(written, "***")
            for length in range(len(written) - 1, _SHORTEST_PIECE - 1, -1):
                text = text.replace(f"{written[:length]}...", "***...")
        return text

    def stands_in(self, text: str) -> bool:
        """Whether an answer's text holds the key; a short one, such as EMPTY, is a word like any other."""
        return len(self._value) >= _SHORTEST_TELLTALE and self._value in text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __repr__(self) -> str:
        return "Secret(***)"

    def __str__(self) -> str:
        return "***"

    def __reduce__(self) -> str:
        raise TypeError("a Secret is not written anywhere, not even pickled")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A server: ``root`` without a slash at its end, the served model's name, and the key it wants.

    ``model`` None means the one the server lists; ``api_key`` None means no key is sent.
    """

    root: str
    model: str | None = None
    api_key: Secret | None = None

    @classmethod
    def parse(cls, url: str, *, model: str | None = None, api_key: Secret | None = None) -> Endpoint:
        """Read a server root, ``.../v1``, or a full ``.../v1/chat/completions`` or ``.../v1/completions``.

        A path before these (a proxy's) is kept. Raises UsageError naming value, rule and way out; a
        password in the value is not repeated.
        """
        value = url.strip()
        if not value:
            raise UsageError("the URL is empty: it takes a server root such as http://HOST:8000")
        if not _URL_TEXT.fullmatch(value) or "\\" in value:
            raise _refused(value, "holds a space or another character no URL has: percent-encode it")
        parts = _split(value)
        host = _host(value, parts)
        port = _port(value, parts)
        return cls(f"{parts.scheme}://{host}{port}{_prefix(parts.path)}", model, api_key)

    def url(self, path: str) -> str:
        """Full URL of a path such as ``/v1/models``."""
        return f"{self.root}{path}"


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

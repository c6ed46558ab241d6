"""Where a ledger lies: a SQLite file or a PostgreSQL database; its password is never shown."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from pytest_gptoss.model.errors import UsageError

__all__ = ["LEDGER_RULE", "LedgerTarget", "read_target"]

LEDGER_RULE = "it takes a SQLite file, or postgresql://USER@HOST/DATABASE"
_SCHEMES = ("postgresql", "postgres")
_SECRET = "***"  # noqa: S105 - what stands in the place of one
_SECRET_KEYS = re.compile(r"(?i)((?:password|passfile|sslpassword|sslkey)=)[^&]*")


@dataclass(frozen=True, slots=True)
class LedgerTarget:
    """``path`` of a SQLite file, or else the ``url`` of a PostgreSQL database, which may hold a password.

    ``shown`` is how messages name it.
    """

    shown: str
    path: Path | None = None
    url: str = field(default="", repr=False)

    def masked(self, text: str) -> str:
        """A text with each password of the URL written as ``***``."""
        for secret in sorted(_secrets(self.url), key=len, reverse=True):
            text = text.replace(secret, _SECRET)
        return text


def read_target(text: str, base: Path = Path()) -> LedgerTarget:
    """The target that a user names; a relative path is taken from ``base``.

    Raises UsageError, without what may be a password.
    """
    if "://" not in text:
        if not text or text != text.strip() or (base / text).is_dir():
            raise UsageError(f"{text!r} is no file: {LEDGER_RULE}")
        return LedgerTarget(str(base / text), path=base / text)
    shown = _shown(text)
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise UsageError(f"{shown!r} is no URL: {LEDGER_RULE}") from None
    if parts.scheme not in _SCHEMES or parts.path.strip("/") == "" or port == 0:
        raise UsageError(f"{shown!r} names no PostgreSQL database: {LEDGER_RULE}")
    return LedgerTarget(shown, url=text)


def _shown(url: str) -> str:
    """The URL without passwords: behind the user's name, and of the query. All before ``@`` is suspect."""
    scheme, _, rest = url.partition("://")
    before, at, behind = rest.rpartition("@")
    user = before.partition(":")[0]
    secret = f":{_SECRET}" if ":" in before else ""
    return _SECRET_KEYS.sub(rf"\g<1>{_SECRET}", f"{scheme}://{user}{secret}{at}{behind}")


def _secrets(url: str) -> set[str]:
    """Every form in which a driver may repeat a password of the URL."""
    parts = urlsplit(url) if url else SplitResult("", "", "", "", "")
    written = parts.netloc.rpartition("@")[0].partition(":")[2]
    found = {written, unquote(written)}
    for name, value in parse_qsl(parts.query):
        if _SECRET_KEYS.match(f"{name}="):
            found |= {value}
    return {each for each in found if each}

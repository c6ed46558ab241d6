"""Every error the suite raises on purpose.

    GptossError
    ├── UsageError             the command line, the environment or a file is wrong (exit 4)
    ├── InsufficientData       a metric has nothing sound to compute from
    │   └── ConditionAbsent        what it looks at is no part of this run: its row is skipped
    ├── MeasurementError       a scenario could not be measured
    │   ├── DamagedFile            what was measured is stored in a file that is not as it was written
    │   └── RequestError       one request failed
    │       ├── ConnectError       nothing answers at that address
    │       │   └── UnknownHost        no such host
    │       ├── TlsError           certificate verification failed, or the handshake
    │       ├── RequestTimeout     connect, first token, or the gap between tokens
    │       ├── StatusError        an HTTP status that is no success
    │       ├── StreamError        the stream broke, lacks its end, or carries an error event
    │       └── DialectError       a 200 whose body is not what vLLM says
    │           └── MiscountError      the server's counts of tokens do not follow the text
    ├── StoreError             the run directory cannot be written, read or locked
    ├── LedgerError            the ledger of runs cannot be opened, read or written
    ├── MissingExtra           the HTML report needs packages that are not installed
    └── ReferenceServerError   a server that the run starts (reference, ground truth, managed) cannot start

A message names the value, the rule and the way out, on one line, and never holds an API key.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from pytest_gptoss.model.message import say

__all__ = [
    "ERROR_EVENT",
    "Cause",
    "ConditionAbsent",
    "ConnectError",
    "DamagedFile",
    "DialectError",
    "GptossError",
    "InsufficientData",
    "LedgerError",
    "MeasurementError",
    "MiscountError",
    "MissingExtra",
    "ReferenceServerError",
    "RequestError",
    "RequestTimeout",
    "StatusError",
    "StoreError",
    "StreamError",
    "TlsError",
    "UnknownHost",
    "UsageError",
]


ERROR_EVENT = say("the stream carries an error")
"""How a StreamError says that the server itself broke its answer off; judges tell it from a lost
connection by these words."""

Cause: TypeAlias = Literal["context", "died"]
"""Why there is no answer, as far as words tell: the prompt does not fit, or it ran out of memory or died."""


class GptossError(Exception):
    """Root of the tree; catching it catches every error a user can cause or meet."""


class UsageError(GptossError):
    """An option, an environment variable or a file does not say something usable."""


class InsufficientData(GptossError):
    """A metric was asked for but the measurements do not hold what it needs."""


class ConditionAbsent(InsufficientData):
    """What a metric looks at does not exist here (no ``/metrics``): the row is skipped, not INVALID."""


class MeasurementError(GptossError):
    """A scenario could not be measured; what was measured before it stays in the store."""


class DamagedFile(MeasurementError):
    """A file of a run's store is not what was written: the message says file, place and rule."""


class RequestError(MeasurementError):
    """One HTTP request failed. ``kind`` is a stable word for reports and tables."""

    kind = "request"

    def __init__(self, message: str, *, cause: Cause | None = None) -> None:
        super().__init__(message)
        self.cause = cause


class ConnectError(RequestError):
    """No TCP connection, or it was closed before an answer came."""

    kind = "connect"


class UnknownHost(ConnectError):
    """The host's name has no address."""


class TlsError(RequestError):
    """The TLS handshake failed."""

    kind = "tls"


class RequestTimeout(RequestError):
    """A bounded wait ran out; the message says which one and the option that sets it."""

    kind = "timeout"


class StatusError(RequestError):
    """The server answered with an HTTP status outside 200 to 299."""

    kind = "status"

    def __init__(self, message: str, *, status: int, cause: Cause | None = None) -> None:
        super().__init__(message, cause=cause)
        self.status = status


class StreamError(RequestError):
    """A stream ended without its end marks, or an error event stood inside it."""

    kind = "stream"


class DialectError(RequestError):
    """The answer was a success by status but lacks what vLLM's dialect promises."""

    kind = "dialect"


class MiscountError(DialectError):
    """A longer text was not counted as longer, or not by as much: something cuts prompts or miscounts."""


class MissingExtra(GptossError):
    """The HTML report was asked for, but ``package`` of the extra ``report`` is not installed."""

    def __init__(self, package: str | None) -> None:
        super().__init__(
            f"{package} is not installed: pip install 'pytest-gptoss[report]', then pytest-gptoss report DIR"
        )


class StoreError(GptossError):
    """The run directory cannot be written, read or locked."""


class LedgerError(GptossError):
    """The ledger of runs cannot be opened, read or written; nothing of a run is in it by half."""


class ReferenceServerError(GptossError):
    """A server that the run starts cannot start, or cannot serve what it was asked to."""

"""Known failures in the lines of a log and in the error texts of a server."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, replace

from pytest_gptoss.diagnosis.signatures import LogSignature, Signatures
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.kept_log import before_its_end

__all__ = ["LogLine", "explained", "read_answer", "read_log"]

_SHOWN = 240

_CAUSE_WITHIN = 20
"""Lines below a failure among which the one that tells its cause is looked for."""


@dataclass(frozen=True)
class LogLine:
    """A known failure in a log: file and line as people find it, and the text; or in a server's answer.

    An answer has no ``file`` and no ``line``.
    """

    device: str
    file: str | None
    line: int | None
    text: str
    signature: LogSignature

    def document(self, red: Iterable[tuple[str, Sequence[str]]]) -> dict[str, Json]:
        """The finding as reports carry it.

        ``red``: ids of red rows, each with its devices; ``explains`` keeps those that this may explain.
        """
        return {
            "kind": "answer" if self.file is None else "log",
            "device": self.device,
            "name": self.signature.name,
            "file": self.file,
            "line": self.line,
            "text": self.text[:_SHOWN],
            "remedy": self.signature.remedy,
            "source": self.signature.source,
            "explains": [
                threshold_id
                for threshold_id, devices in red
                if self.device in devices and self.signature.may_explain(threshold_id)
            ],
        }


def read_log(
    lines: Iterable[tuple[int, str]], signatures: Signatures, *, device: str, file: str
) -> list[LogLine]:
    """The known failures in a log's lines, each a number and a text; a cause stands behind its failure.

    What a server said while the suite ended it is left out.
    """
    staged = [each for each in signatures.log if each.after is not None]
    begun: set[str] = set()
    found: list[LogLine] = []
    open_until = 0
    """The last line at which the failure found last may still be told its cause."""
    for number, text in before_its_end(lines):
        for each in staged:
            if each.after is not None and each.after.search(text):
                begun.add(each.name)
            elif each.until is not None and each.until.search(text):
                begun.discard(each.name)
        signature = signatures.match(text, begun=begun)
        cause = found[-1].signature.cause if found and number <= open_until else None
        if cause is not None and signature in (None, found[-1].signature):
            # A further line of the same failure: its cause, or one above it.
            if cause.search(text):
                found[-1] = _with_cause(found[-1], text, signatures, begun)
                open_until = 0
            continue
        if signature is None:
            continue
        found.append(LogLine(device, file, number, text, signature))
        tells_itself = signature.cause is not None and signature.cause.search(text)
        open_until = 0 if tells_itself else number + _CAUSE_WITHIN
    return found


def _with_cause(line: LogLine, cause: str, signatures: Signatures, begun: Container[str]) -> LogLine:
    """A failure and its cause in one text, which may name it more closely."""
    text = f"{line.text.strip()[: _SHOWN // 2]} ... {cause.strip()}"
    return replace(line, text=text, signature=signatures.match(text, begun=begun) or line.signature)


def read_answer(text: str, signatures: Signatures, *, device: str) -> LogLine | None:
    """The known failure that a server's error text shows."""
    signature = signatures.match(text)
    return None if signature is None else LogLine(device, None, None, text, signature)


def explained(lines: Iterable[LogLine], threshold_id: str, devices: Sequence[str]) -> list[LogLine]:
    """The findings that may explain a red row in which ``devices`` play, the first of each signature."""
    found: dict[tuple[str, str], LogLine] = {}
    for line in lines:
        if line.device in devices and line.signature.may_explain(threshold_id):
            found.setdefault((line.device, line.signature.name), line)
    return list(found.values())

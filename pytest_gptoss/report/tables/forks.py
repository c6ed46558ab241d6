"""Where the answers of two devices part."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_gptoss.model.json_type import Json
from pytest_gptoss.report.tables.rows import device_caption, of_device
from pytest_gptoss.report.tables.table import Cell, Table, figure, heads
from pytest_gptoss.report.wording import Wording

__all__ = ["fork_table", "forks", "visible"]

Row = Mapping[str, Json]
Document = Mapping[str, Json]


def fork_table(document: Document, npu: str, translate: Wording) -> Table:
    """Prompts whose answers differ, the gravest first."""
    rows = [
        (
            Cell(prompt["id"]),
            figure(prompt["fork"]["index"], translate),
            Cell(translate.word("kind", prompt["fork"]["kind"])),
            figure(prompt["fork"]["margin"], translate),
            Cell(_first_text(prompt, "npu")),
            Cell(_first_text(prompt, "gpu")),
            figure(prompt["rouge_l"], translate),
        )
        for prompt in forks(document, npu)
    ]
    return Table(
        "forks", device_caption(document, npu, translate("section.forks")),
        (*heads(translate, "prompt", "fork_at", "kind", "margin", "npu_token", "gpu_token"), "ROUGE-L"),
        tuple(rows), minor=True, long=True,
    )  # fmt: skip


def forks(document: Document, npu: str) -> list[Row]:
    """Prompts of a device whose answer forks: real forks before near ties, wide margins first."""
    forked = [
        prompt for prompt in of_device(document["measurements"].get("prompts", ()), npu) if prompt["fork"]
    ]
    gravity = ("real", "unknown", "length", "near tie")
    return sorted(
        forked,
        key=lambda prompt: (gravity.index(prompt["fork"]["kind"]), -(prompt["fork"]["margin"] or 0.0)),
    )


def visible(token: str) -> str:
    """A token's text with its line ends and tabs to be seen, and one of nothing but blanks as such."""
    shown = token.replace("\n", "⏎").replace("\t", "⇥")
    return "␣" * len(shown) if shown.isspace() else shown


def _first_text(prompt: Row, side: str) -> str:
    tokens = prompt["diff"][side]["tokens"] if prompt.get("diff") else []
    if tokens:
        return visible(tokens[0]["text"])
    token = prompt["fork"][f"{side}_token"]
    return "-" if token is None else str(token)

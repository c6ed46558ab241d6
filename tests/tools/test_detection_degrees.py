"""The tables of damage by degrees, from outcomes written down here."""

from __future__ import annotations

from pathlib import Path

from detection.chat import CHAT, chat_recording, chat_rows
from detection.checkpoints import DAMAGES
from detection.degrees import DEGREES, SOUND, degree_rows, table
from detection.recordings import VLLM
from detection.row import Outcome

RATIO = "precision.error_ratio"


def test_every_degree_of_rounding_and_noise_is_a_row_against_the_recording():
    assert DEGREES == (
        SOUND, "weights-8bit", "weights-6bit", "weights-5bit", "weights-4bit",
        "noise-0.001", "noise-0.003", "noise-0.01", "noise-0.03", "noise-0.1",
    )  # fmt: skip
    assert set(DEGREES) - {SOUND} <= set(DAMAGES)
    rows = [*degree_rows("vllm", DEGREES), *degree_rows("reference", DEGREES)]
    assert {row.against for row in rows} == {VLLM}
    chat = chat_rows(Path("model"), DEGREES)
    assert {row.against for row in chat} == {CHAT} == {chat_recording(Path("model")).name}
    assert len({row.id for row in (*rows, *chat)}) == 3 * len(DEGREES)


def test_figures_beyond_their_limit_are_bold_and_the_ratio_has_its_interval():
    rows = degree_rows("reference", (SOUND, "weights-6bit", "noise-0.01"))
    outcomes = {
        "reference-sound": Outcome(
            "reference-sound", 0, 1.0,
            {"precision.kl": "PASS", RATIO: "PASS", "precision.leakage": "PASS"},
            {"precision.kl": 2e-05, RATIO: 1.0149, "precision.leakage": 0.0, "precision.hidden_cosine": None},
            intervals={"precision.kl": [1e-05, 3e-05], RATIO: [0.92, 1.1]},
            evidence="EQUIVALENT WITHIN ROUNDING",
        ),
        "reference-weights-6bit": Outcome(
            "reference-weights-6bit", 1, 1.0,
            {"precision.kl": "PASS", RATIO: "FAIL", "precision.perplexity_diff": "INVALID"},
            {"precision.kl": 0.0004136, RATIO: 7.25}, {"precision.perplexity_diff": "gpu: no answer"},
            evidence="DIFFERENT",
        ),
    }  # fmt: skip
    assert list(table(rows, outcomes)) == [
        "| damage | kl | error_ratio | evidence |",
        "|---|---|---|---|",
        "| sound | 2e-05 | 1.015 (0.92 to 1.1) | EQUIVALENT WITHIN ROUNDING |",
        "| weights-6bit | 0.0004136 | **7.25** | DIFFERENT |",
        "",
        "`perplexity_diff` was not judged at weights-6bit. weights-6bit: gpu: no answer",
        "",
        "Not run: noise-0.01.",
    ]
    assert list(table(rows, {})) == ["Not run."]

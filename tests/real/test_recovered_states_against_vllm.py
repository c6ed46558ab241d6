"""Real vLLM's hidden states from its log-probabilities, against those that its /pooling gives."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
import vllm_cpu
from needs_vllm import NEEDS_VLLM, VENV

from pytest_gptoss.cli.hidden_recording import record_hidden
from pytest_gptoss.client.timeouts import Timeouts
from pytest_gptoss.judge.metrics.hidden import hidden_cosine
from pytest_gptoss.judge.thresholds import load_profile
from pytest_gptoss.model.results import Measurement
from pytest_gptoss.scenarios.corpus import load_shipped
from pytest_gptoss.scenarios.hidden_file import States, read_hidden
from pytest_gptoss.scenarios.state_recovery import Recovery
from pytest_gptoss.servers.embedded import start_reference

pytestmark = NEEDS_VLLM

POSITIONS = 96


def recorded(url: str, folder: Path, name: str, *, lm_head: Path | None = None) -> Measurement[States]:
    recovery = None if lm_head is None else Recovery(lm_head, POSITIONS, frozenset())
    output = folder / f"{name}.npz"
    record_hidden(
        url=url, output=output, role="npu", model=None, profile="embedded", recovery=recovery,
        timeouts=Timeouts.for_unary_answers(120.0, "--timeout"), ca_bundle=None, tell=lambda _: None,
    )  # fmt: skip
    corpus = load_shipped(load_profile("embedded").workload.corpus)
    return read_hidden(output, scenario_id="hidden-npu", device=name, corpus_sha256=corpus.sha256)


@contextmanager
def _served(checkpoint: Path, folder: Path, **changed: object) -> Iterator[str]:
    with vllm_cpu.serving(checkpoint, venv=VENV, log=folder / "log", **changed) as url:  # type: ignore[arg-type]
        yield url


@pytest.fixture(scope="module")
def states(checkpoint: Path) -> Iterator[Mapping[str, Measurement[States]]]:
    """By how they were had: real vLLM's ``recovered`` and ``pooled``, and the FP32 ``reference``'s."""
    flags = (*vllm_cpu.CHAT_FLAGS, "--max-logprobs", "4096")
    with tempfile.TemporaryDirectory(prefix="gptoss-") as scratch:
        folder = Path(scratch)
        found = {}
        with _served(checkpoint, folder, chat_flags=flags) as url:
            found["recovered"] = recorded(url, folder, "recovered", lm_head=checkpoint)
        with _served(checkpoint, folder, pooling=True) as url:
            found["pooled"] = recorded(url, folder, "pooled")
        with start_reference("tiny", "float32", ready_timeout=300.0) as server:
            found["reference"] = recorded(server.url, folder, "reference")
        yield found


def test_the_states_are_those_of_pooling(states: Mapping[str, Measurement[States]]) -> None:
    estimate = hidden_cosine(npu=states["recovered"], gpu=states["pooled"])
    assert estimate.details["positions"] == POSITIONS
    assert estimate.value >= 0.999
    assert abs(estimate.details["norm_ratio"] - 1) < 0.005
    assert 1 - estimate.value <= 5 * estimate.doubt


def test_the_row_has_the_same_value(states: Mapping[str, Measurement[States]]) -> None:
    ours = hidden_cosine(npu=states["recovered"], gpu=states["reference"])
    places = {item.sequence_id: [fit.position for fit in item.fits] for item in states["recovered"].items}
    whole = hidden_cosine(npu=states["pooled"], gpu=states["reference"])
    assert len(places) == whole.n
    assert abs(ours.value - whole.details["mean"]) <= 0.001

"""Record how the embedded pair answers the open prompts and a few others, for test_recorded_forks.py.

    python tests/judge/record_forks.py

A real run of the pair; kept of it are both devices' answers and the NPU's scores of the baseline's. Record
again when the prompts or the checkpoint change. On a processor that does not fork there the tests will fail
with what it recorded: record on another one.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from pytest_gptoss.model.resources import acceptance_tests, fixture
from pytest_gptoss.model.results import Generation, Measurement, ScoredSequence, TopLogprobs
from pytest_gptoss.run.store import Store
from pytest_gptoss.scenarios.codec import encode
from pytest_gptoss.scenarios.kinds import Forced, Greedy

FILE = Path(__file__).parent / "forks.json"
EVERY = 24
"""One prompt in so many beside the open ones."""
LISTED = 3
"""Most likely tokens kept of each position: enough for both sides of a near tie."""
DIGITS = 5

KEPT = {
    "npu": Greedy("npu"),
    "gpu": Greedy("gpu"),
    "forced": Forced("npu", source="gpu", outputs=Greedy("gpu")),
}


def main() -> None:
    """Run the pair on the prompts and write the file."""
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        prompts = json.loads(fixture("prompts", "embedded.json").read_text("utf-8"))
        chosen = [each for at, each in enumerate(prompts) if "open" in each["tags"] or at % EVERY == 0]
        (work / "prompts.json").write_text(json.dumps(chosen), "utf-8")
        run(work)
        store = Store(work / "gptoss-report" / "run")
        document = {name: kept(store.read(scenario.id)) for name, scenario in KEPT.items()}
    FILE.write_text(json.dumps(document, ensure_ascii=False, separators=(",", ":")) + "\n", "utf-8")


def run(work: Path) -> None:
    """Measure what ROUGE-L needs; its verdict does not matter."""
    command = [
        sys.executable, "-m", "pytest", str(acceptance_tests()), "-p", "no:cacheprovider", "--embedded",
        "--gptoss-prompts=prompts.json", "-k", "rouge_l",
    ]  # fmt: skip
    subprocess.run(command, cwd=work, check=False)


def kept(measurement: Measurement) -> dict:
    """The JSON of a measurement, its arrays as lists in it."""
    items = tuple(smaller(item) for item in measurement.items)
    document, arrays = encode(replace(measurement, items=items, provenance={}))
    return {**document, "arrays": {name: short(each) for name, each in arrays.items()}}


def short(array: np.ndarray) -> list:
    """An array's numbers: ids as they are, log-probabilities to DIGITS digits."""
    return array.tolist() if array.dtype.kind == "i" else np.round(array.astype(float), DIGITS).tolist()


def smaller(item: Generation | ScoredSequence) -> Generation | ScoredSequence:
    """An item with shorter lists."""
    top = TopLogprobs(item.top.ids[:, :LISTED], item.top.logprobs[:, :LISTED])
    return replace(item, top=top, words=None) if isinstance(item, Generation) else replace(item, top=top)


if __name__ == "__main__":
    main()

"""Rows run by the suite's own command, each outcome kept, so that a stopped matrix goes on."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import vllm_cpu

from detection.recordings import Recording
from detection.row import NotMeasured, Outcome, Row, Served, families_of
from pytest_gptoss.model.resources import acceptance_tests, fixture

__all__ = ["Runs", "one_prompt_in", "product_version"]

PROFILE = "--gptoss-profile=embedded"
LONGEST_S = 3600.0
"""No row takes a quarter of it."""
JUDGED = (0, 1)
"""Exit statuses of pytest that tell a verdict: all passed, and some did not."""


class Runs:
    """Outcomes in ``state``: one JSON file a row, and the recorded baselines that rows are judged against.

    ``named_alone`` runs of a defect's row the families of its named checks and no more, or what is ``quick``
    of them. ``options`` are
    added to every command. ``keep`` leaves a row's measurements in ``state``/ROW/run.
    """

    def __init__(
        self,
        state: Path,
        *,
        named_alone: bool = False,
        prompts: Path | None = None,
        options: Sequence[str] = (),
        keep: bool = False,
    ) -> None:
        self.state, self.named_alone, self.prompts = state, named_alone, prompts
        self.options, self.keep = options, keep
        self.state.mkdir(parents=True, exist_ok=True)

    def baseline(self, name: str) -> Path:
        """The measurements of a recorded baseline; the file is not there before ``record``."""
        return self.state / f"{name}.zip"

    def log(self, name: str) -> Path:
        """What the suite's command printed for a row or a recording."""
        return self.state / f"{name}.log"

    def outcomes(self) -> Mapping[str, Outcome]:
        """Everything run so far, by row; recordings by the names of their baselines."""
        found = (json.loads(path.read_text("utf-8")) for path in sorted(self.state.glob("*.outcome.json")))
        return {each["row"]: Outcome(**each) for each in found}

    def record(self, recording: Recording) -> None:
        """Record a baseline; raises NotMeasured unless the sound device is accepted where it must be."""
        path = self.baseline(recording.name)
        with recording.serve() as sound:
            outcome = self._accept(
                recording.name, sound, recording.families, against=(f"--gptoss-record={path}",)
            )
        if (outcome.alarmed and recording.accepted) or not path.is_file():
            path.unlink(missing_ok=True)
            raise NotMeasured(
                f"{recording.name}: the sound pair is not accepted ({', '.join(sorted(outcome.red))}): "
                f"nothing can be judged; see {self.log(recording.name)}"
            )
        self._keep(outcome)

    def run(self, row: Row) -> Outcome:
        """Run a row and keep its outcome; raises NotMeasured when it says nothing, and keeps nothing then."""
        against = (f"--gptoss-baseline={self.baseline(row.against)}",)
        with row.serve() as served:
            named = self.named_alone and bool(row.expect)
            families = families_of(row.expect) if named else row.families
            chosen = ("-k", row.quick) if named and row.quick else ()
            outcome = self._accept(row.id, served, families, against=(*against, *chosen))
        self._keep(outcome)
        return outcome

    def _keep(self, outcome: Outcome) -> None:
        path = self.state / f"{outcome.row}.outcome.json"
        aside = path.with_suffix(".part")
        aside.write_text(json.dumps(asdict(outcome), indent=1), "utf-8")
        aside.replace(path)

    def _accept(self, name: str, served: Served, families: str, *, against: Sequence[str]) -> Outcome:
        report, started = self.state / name, time.monotonic()
        shutil.rmtree(report, ignore_errors=True)
        chosen = [] if self.prompts is None else [f"--gptoss-prompts={self.prompts}"]
        path = self.log(name)
        # A waiver or an address of the person's own would decide what the row says.
        environment = {key: value for key, value in os.environ.items() if not key.startswith("GPTOSS_")}
        # Rows may name a pytest plugin of this package.
        environment["PYTHONPATH"] = str(Path(__file__).parents[1])
        with path.open("w", encoding="utf-8") as log:
            try:
                done = subprocess.run(
                    [
                        *(sys.executable, "-m", "pytest", str(acceptance_tests()), "-p", "no:cacheprovider"),
                        *(PROFILE, "-m", families, f"--npu-url={served.url}", f"--gptoss-report={report}"),
                        *(*chosen, *against, *self.options, *served.options),
                    ],
                    stdout=log, stderr=subprocess.STDOUT, check=False, timeout=LONGEST_S, env=environment,
                )  # fmt: skip
            except subprocess.TimeoutExpired:
                raise NotMeasured(f"no end within {LONGEST_S:g} s; see {path}") from None
        document = report / "acceptance.json"
        if done.returncode not in JUDGED or not document.is_file():
            raise NotMeasured(f"pytest exited {done.returncode} without verdicts; see {path}")
        said = json.loads(document.read_text("utf-8"))
        if not self.keep:
            shutil.rmtree(report / "run", ignore_errors=True)
        return _outcome(name, done.returncode, time.monotonic() - started, said)


def _outcome(name: str, status: int, seconds: float, said: Mapping[str, Any]) -> Outcome:
    """What a row's report says."""
    rows = said["verdicts"]
    return Outcome(
        name,
        status,
        round(seconds, 1),
        {row["threshold_id"]: row["verdict"] for row in rows},
        {row["threshold_id"]: row["value"] for row in rows},
        {row["threshold_id"]: row["reason"] for row in rows if row["reason"]},
        {row["threshold_id"]: row["ci"] for row in rows if row.get("ci")},
        (said.get("run", {}).get("equivalence") or {}).get("verdict", ""),
    )


def one_prompt_in(every: int, path: Path) -> Path | None:
    """A file of one embedded prompt in ``every``, written to ``path``; None where all are meant."""
    if every == 1:
        return None
    path.parent.mkdir(parents=True, exist_ok=True)
    prompts = json.loads(fixture("prompts", "embedded.json").read_text("utf-8"))
    path.write_text(json.dumps(prompts[::every], ensure_ascii=False), "utf-8")
    return path


def product_version(root: Path) -> str:
    """A short hash of all that an outcome depends on: the package and its data, the rows, what computes."""
    digest = hashlib.sha256()
    for path in _sources(root):
        digest.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes())
    digest.update(" ".join([version("torch"), version("transformers"), _vllm()]).encode())
    return digest.hexdigest()[:12]


def _vllm() -> str:
    return vllm_cpu.installed(vllm_cpu.default_venv()) or "none"


def _sources(root: Path) -> Iterator[Path]:
    for folder, pattern in (("pytest_gptoss", "**/*.py"), ("pytest_gptoss", "**/*.toml"),
                            ("tests/acceptance", "*.py"), ("fixtures", "**/*.json"),
                            ("fixtures", "**/*.safetensors"), ("tools", "vllm_cpu.py"),
                            ("tools/detection", "*.py")):  # fmt: skip
        yield from sorted((root / folder).glob(pattern))

"""The guide's procedure from a serve line to the pages that say what was found."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from pytest_gptoss.diagnosis.log_reading import read_log
from pytest_gptoss.diagnosis.signature_files import load_signatures
from pytest_gptoss.isolate.page import document, page
from pytest_gptoss.isolate.search import EAGER, Finding, isolate
from pytest_gptoss.isolate.settings import Change, changes_of, known_changes
from pytest_gptoss.isolate.trials import Failing, StartRecord, Trials
from pytest_gptoss.model.atomic_files import write_json, write_text
from pytest_gptoss.model.errors import UsageError

__all__ = ["RESULT", "run_procedure"]

RESULT = "result"
"""The name of the result's files, before their endings."""


def run_procedure(
    failing: Failing,
    *,
    flags: Sequence[str],
    variables: Sequence[str],
    most: int,
    output: Path,
    tell: Callable[[str], None],
    chinese: Mapping[str, str],
) -> Finding:
    """Search, and write ``result.md``, ``result.zh.md`` and ``result.json`` into ``output``.

    ``chinese``: remedies in Chinese by the English ones; one that is not there stays English.

    Raises UsageError for settings that are none, and for a directory that holds another search.
    """
    if variables and failing.command.container is not None:
        raise UsageError(
            f"--env: it reaches {failing.command.container} and not the server in its container: suspect the "
            "variable as --flag '-e VAR=VALUE' of a line that has it, or isolate within the container"
        )
    given = changes_of(failing.command, flags, variables)
    known = [each for each in known_changes(failing.command) if each.name not in {own.name for own in given}]
    (eager,) = changes_of(failing.command, [EAGER], ())
    changes = {each.name: each for each in (*known, *given, eager)}
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--output {output}: {error.strerror}: name another directory") from None
    trials = Trials(failing, changes, output, tell=tell)
    trials.refuse_unusable()
    finding = isolate(trials, _names(given), _names(known), most=most, try_eager=eager.put_in)
    found = document(
        finding,
        trials.records,
        command=failing.command,
        changes=changes,
        remedies=_remedies(trials.records, output),
    )
    write_json(output / f"{RESULT}.json", found)
    write_text(output / f"{RESULT}.md", page(found, "en"))
    write_text(
        output / f"{RESULT}.zh.md",
        page({**found, "remedies": [chinese.get(each, each) for each in found["remedies"]]}, "zh"),
    )
    if finding.why != "out of starts":
        trials.forget()
    return finding


def _names(changes: Iterable[Change]) -> tuple[str, ...]:
    return tuple(each.name for each in changes)


def _remedies(records: Iterable[StartRecord], output: Path) -> tuple[str, ...]:
    """What is to be done for the known failures in the logs of the starts that failed."""
    signatures = load_signatures()
    found: dict[str, None] = {}
    for each in records:
        if each.outcome != "passes":
            text = (output / each.log).read_text("utf-8", "replace") if (output / each.log).is_file() else ""
            lines = enumerate(text.splitlines(), start=1)
            for line in read_log(lines, signatures, device="isolate", file=each.log):
                found[line.signature.remedy] = None
    return tuple(found)

"""Each fact is written in one place; every other place imports it.

A literal is looked for in code alone: docstrings and comments may name it.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_gptoss.judge.load import FIGURES
from pytest_gptoss.judge.registry import shipped_metric
from pytest_gptoss.model.gptoss import CONTEXT, NAMED_TOKENS, VOCABULARY_SIZE
from pytest_gptoss.model.load_names import GUIDE_FIGURES, LOAD_FIGURES, concurrency_of, level_name, read_level
from pytest_gptoss.model.verdicts import PRECISION_CONTRACT

ROOT = Path(__file__).parents[1]
STAND_ALONE = {"benchmarks/load_clients.py", "tools/vllm_cpu.py"}
"""Run by interpreters that do not have this package."""

HOMES = {
    "model/gptoss.py": "|".join(map(str, (*NAMED_TOKENS, VOCABULARY_SIZE, CONTEXT))) + r"|.*\b131072\b.*",
    "model/paths.py": r".*/v1/(chat/)?completions\b.*|/pooling",
    "model/key_variables.py": r"(?s).*_API_KEY.*",
    "model/load_names.py": r".*\bc\{[^}]*:02d?\}.*",
    "client/metrics_page.py": r"process_start_time_seconds|\^vllm:.*",
}
"""Module of the package -> the numbers and texts that stand in it and nowhere else."""
WRITERS = {("tools/detection/wire.py", "client/metrics_page.py")}
"""Who writes such a text for others to parse: the defects of ``/metrics``."""


def _files() -> Iterator[tuple[str, ast.Module]]:
    for folder in ("pytest_gptoss", "tools", "benchmarks"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            if name not in STAND_ALONE:
                yield name, ast.parse(path.read_text("utf-8"))


FILES = dict(_files())


def _literals(tree: ast.Module) -> Iterator[str]:
    """Numbers, texts and f-strings as they are written; docstrings left out."""
    loose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, int | str) and id(node) not in loose:
            yield str(node.value)
        elif isinstance(node, ast.JoinedStr):
            yield ast.unparse(node)[2:-1]


def _is_public(node: ast.Assign) -> bool:
    return ast.unparse(node.targets[0]) == "__all__"


def _lists_of(names: set[str], tree: ast.Module) -> list[int]:
    """Lines of lists and tables that name four or more of ``names``; a module's ``__all__`` is none."""
    public = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Assign) and _is_public(node)}
    found = []
    for node in ast.walk(tree):
        parts = node.keys if isinstance(node, ast.Dict) else getattr(node, "elts", ())
        texts = {part.value for part in parts if isinstance(part, ast.Constant)}
        if (
            len({str(text).removeprefix("precision.") for text in texts} & names) >= 4
            and id(node) not in public
        ):
            found.append(node.lineno)
    return found


@pytest.mark.parametrize(("home", "pattern"), HOMES.items(), ids=list(HOMES))
def test_a_literal_stands_in_its_home_alone(home, pattern):
    others = {
        (name, text)
        for name, tree in FILES.items()
        if name != f"pytest_gptoss/{home}" and (name, home) not in WRITERS
        for text in _literals(tree)
        if re.fullmatch(pattern, text)
    }
    assert not others, f"import it from pytest_gptoss/{home}"
    assert any(re.fullmatch(pattern, text) for text in _literals(FILES[f"pytest_gptoss/{home}"]))


@pytest.mark.parametrize(
    ("names", "homes"),
    [
        ({each.name for each in LOAD_FIGURES}, {"model/load_names.py", "judge/load.py"}),
        (set(PRECISION_CONTRACT), {"model/verdicts.py"}),
    ],
    ids=["load figures", "contract"],
)
def test_a_list_stands_in_its_home_alone(names, homes):
    found = {name: lines for name, tree in FILES.items() if (lines := _lists_of(names, tree))}
    assert {name.removeprefix("pytest_gptoss/") for name in found} <= homes, found


def test_every_load_figure_is_computed():
    level = level_name(1)
    assert [each.name for each in LOAD_FIGURES if shipped_metric(f"{each.name}.{level}") is None] == []
    assert set(FIGURES) <= {each.name for each in LOAD_FIGURES if each.title}
    assert [each.name for each in GUIDE_FIGURES] == ["ttft", "tpot", "throughput", "qps"]


@pytest.mark.parametrize("concurrency", [1, 8, 16, 128, 4096])
def test_a_level_name_is_read_back(concurrency):
    level = level_name(concurrency)
    assert (read_level(level), concurrency_of(level)) == (level, concurrency)


def test_another_shape_of_a_concurrency_has_a_name_of_its_own():
    assert (read_level("c16-p4096"), concurrency_of("c16-p4096")) == ("c16-p4096", None)


@pytest.mark.parametrize("text", ["c1", "c004", "16", "c00", "c", "d16", "c16.5", "c16-", "c16-P4", "c16 ",
                                  "c16\n", "c" + "9" * 5000])  # fmt: skip
def test_what_names_no_level(text):
    assert read_level(text) is None
    assert concurrency_of(text) is None

"""Imports run downwards only, and a plain pytest run pays for none of the heavy ones."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import pytest_gptoss

PACKAGE = Path(pytest_gptoss.__file__).parent

MAY_IMPORT = {
    "model": set(),
    "client": {"model"},
    "servers": {"model", "config"},
    "scenarios": {"model", "client", "servers"},
    "judge": {"model", "scenarios.kinds"},
    "config": {"model"},
    "config/plan.py": {"model", "scenarios", "judge"},
    "config/haystack.py": {"model", "scenarios", "judge"},
    "config/metric_table.py": {"model", "judge"},
    "run": {"model", "client", "servers", "scenarios", "judge", "config"},
    "diagnosis": {"model", "client", "scenarios", "judge", "config", "run"},
    "report": {"model", "judge"},
    "report/builders": {"model", "scenarios", "judge", "config", "run"},
    "ledger": {"model", "judge"},
    "plugin": {
        "model", "client", "servers", "scenarios", "judge", "config", "run", "diagnosis", "report", "ledger",
    },
    "isolate": {"model", "servers", "judge", "config", "run", "diagnosis"},
    "isolate/search.py": set(),
    "cli": {
        "model", "client", "servers", "scenarios", "judge", "config", "run", "report", "isolate", "ledger",
    },
    "reference": {"model", "servers.lifetime"},
    "truth": {"model", "servers.lifetime"},
}  # fmt: skip
"""What each room, or one part or file of it, may import beside the room itself: a room, or one module of it.

``report/builders`` make the report document from a run; all else in ``report`` reads that document alone.
"""
ORDER = {
    "run": (
        "file_lock", "stopwatch", "progress", "termination", "interruption",
        "run_directory", "store", "probed", "baseline", "recording", "replay", "trace", "instrument",
        "rounds", "scheduler", "probing", "devices",
        "roles", "absent", "estimated_time", "load_order", "hidden_source", "measuring",
        "context", "estimating", "info_metrics", "judging", "turns",
        "servers_seen", "engine",
    ),
    "plugin": (
        "problems", "workers", "selected_rows", "asking", "telling", "report_parts", "reporting", "session",
    ),
}  # fmt: skip
"""Modules of a room in the order of use: each may import those that stand before it."""
ROOMS = {room for room in MAY_IMPORT if "/" not in room}
FORBIDDEN_PACKAGES = {
    "model": {"pytest", "httpx"},
    "client": {"pytest"},
    "config": {"httpx", "zipfile"},
    "servers": {"pytest"},
    "scenarios": {"pytest"},
    "run": {"pytest"},
    "diagnosis": {"pytest"},
    "judge": {"pytest", "httpx", "time", "datetime", "asyncio", "socket"},
    "report": {"pytest", "httpx"},
    "ledger": {"pytest", "httpx"},
}


def _imports(path: Path) -> set[str]:
    """Every module that a file imports, and what it takes out of a package by name."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def _ours(imports: set[str]) -> set[str]:
    """The modules of this package among them, without its name; names of the package itself are none."""
    inside = {name.removeprefix("pytest_gptoss.") for name in imports if name.startswith("pytest_gptoss.")}
    return {name for name in inside if name.partition(".")[0] in ROOMS}


def _allowed(name: str, allowed: set[str]) -> bool:
    return any(f"{name}.".startswith(f"{each}.") or f"{each}.".startswith(f"{name}.") for each in allowed)


def _files():
    return sorted(path for path in PACKAGE.rglob("*.py") if "acceptance" not in path.parts)


def test_every_file_lies_in_a_room():
    rooms = {path.relative_to(PACKAGE).parts[0] for path in _files()}
    assert rooms == {"__init__.py", *ROOMS}


@pytest.mark.parametrize("path", _files(), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_imports_run_one_way(path):
    parts = path.relative_to(PACKAGE).parts
    imports = _imports(path)
    if parts == ("__init__.py",):
        return
    inner = "/".join(parts[:2])
    place = next(each for each in ("/".join(parts), inner, parts[0]) if each in MAY_IMPORT)
    allowed = {parts[0], *MAY_IMPORT[place]}
    against = {name for name in _ours(imports) if not _allowed(name, allowed)}
    assert not against, f"{parts[0]} must not import {against}"
    if parts[0] == "report" and inner not in MAY_IMPORT:
        assert not {name for name in _ours(imports) if f"{name}.".startswith("report.builders.")}
    packages = {name.split(".")[0] for name in imports}
    assert not packages & FORBIDDEN_PACKAGES.get(parts[0], set())


@pytest.mark.parametrize(
    ("room", "name"), [(room, name) for room, names in ORDER.items() for name in names], ids=lambda part: part
)
def test_imports_inside_a_room_run_one_way(room, name):
    imported = {
        found.split(".")[1]
        for found in _ours(_imports(PACKAGE / room / f"{name}.py"))
        if found.startswith(f"{room}.")
    }
    later = ORDER[room][ORDER[room].index(name) :]
    assert not imported & set(later)


def test_the_order_of_a_run_is_whole():
    files = {path.stem for path in (PACKAGE / "run").glob("*.py")} - {"__init__"}
    assert files == set(ORDER["run"])


COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def _awaits_inside(source):
    """Lines of comprehensions that await and stand in another one, which Python 3.10 refuses to compile."""
    outer = (each for each in ast.walk(ast.parse(source)) if isinstance(each, COMPREHENSIONS))
    inner = (each for one in outer for each in ast.walk(one) if each is not one)
    return [
        each.lineno
        for each in inner
        if isinstance(each, COMPREHENSIONS) and any(isinstance(node, ast.Await) for node in ast.walk(each))
    ]


def test_python_3_10_compiles_every_file():
    assert _awaits_inside("async def f():\n return [[await g(x) for x in y] for y in z]") == [2]
    assert not _awaits_inside("async def f():\n return [await g(x) for x in [h(y) for y in z]]")
    found = {path: _awaits_inside(path.read_text("utf-8")) for path in PACKAGE.rglob("*.py")}
    assert not {path: lines for path, lines in found.items() if lines}


def test_public_names_are_there():
    for name in pytest_gptoss.__all__:
        assert getattr(pytest_gptoss, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        pytest_gptoss.nothing  # noqa: B018


DOCUMENTS = [
    path.relative_to(PACKAGE.parent).as_posix()
    for path in (*PACKAGE.parent.glob("README*.md"), *sorted((PACKAGE.parent / "docs").rglob("*.md")))
]


OUTSIDE = "\n## A package of your own\n"
"""Heading of docs/extending.md from which on the examples are not parts of this package."""


def _taken_from_us(place):
    """The lines of its examples, indented or not, that take something from a module of ours, in words."""
    text = (PACKAGE.parent / place).read_text("utf-8")
    text = text.partition(OUTSIDE)[2] or text
    shown = text.partition('"""')[2].partition('"""')[0] if place.endswith(".py") else text
    taken = [line.split() for line in shown.splitlines() if line.split()[:1] in (["from"], ["import"])]
    return [words for words in taken if words[1:] and words[1].startswith("pytest_gptoss")]


def test_the_documentation_and_the_hooks_have_examples():
    assert any(_taken_from_us(place) for place in DOCUMENTS)
    assert _taken_from_us("pytest_gptoss/plugin/hookspecs.py")


@pytest.mark.parametrize("place", [*DOCUMENTS, "pytest_gptoss/plugin/hookspecs.py"])
def test_examples_import_public_names_alone(place):
    ours = _taken_from_us(place)
    assert not [words for words in ours if words[1] != "pytest_gptoss"]
    names = {word.rstrip(",") for words in ours for word in words[3:]}
    assert names <= set(pytest_gptoss.__all__)


def test_a_plain_pytest_run_imports_nothing_heavy(tmp_path):
    (tmp_path / "test_nothing.py").write_text("def test_nothing(): pass\n")
    script = (
        "import sys, pytest\n"
        "status = pytest.main(['-q', '-p', 'no:cacheprovider', 'test_nothing.py'])\n"
        "names = 'httpx numpy torch transformers rouge_score jinja2 jsonschema filelock sqlalchemy'\n"
        "heavy = set(names.split()) & set(sys.modules)\n"
        "ours = sorted(name for name in sys.modules if name.startswith('pytest_gptoss'))\n"
        "print(status, sorted(heavy), ours)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=120
    )
    last = done.stdout.splitlines()[-1]
    assert "[] [" in last, last
    for module in ("plugin.session", "run", "judge", "scenarios", "client", "report"):
        assert f"pytest_gptoss.{module}" not in last
    assert "gptoss" not in "\n".join(done.stdout.splitlines()[:-1])

"""Imports run downwards only, and a plain pytest run pays for none of the heavy ones."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import pytest_gptoss

PACKAGE = Path(pytest_gptoss.__file__).parent

FOUNDATION = {
    "errors", "finite", "harmony", "lifetime", "printable", "records", "resources", "sentinels",
    "server_process", "stored_json", "termination", "token_text",
}  # fmt: skip
ALLOWED = {
    "client": FOUNDATION | {"client"},
    "measure": FOUNDATION | {"client", "measure"},
    "judge": FOUNDATION | {"judge"},
    "report": FOUNDATION | {"judge", "report"},
    "reference": FOUNDATION | {"reference"},
    "truth": FOUNDATION | {"truth"},
    "errors": set(),
    "records": set(),
    "resources": {"errors"},
    "sentinels": {"records"},
    "finite": set(),
    "printable": set(),
    "stored_json": {"records"},
    "token_text": {"resources"},
    "harmony": {"token_text"},
    "lifetime": set(),
    "server_process": {"errors"},
    "termination": set(),
}
FORBIDDEN_PACKAGES = {
    "client": {"pytest"},
    "measure": {"pytest"},
    "judge": {"pytest", "httpx", "time", "datetime", "asyncio"},
    "report": {"pytest", "httpx"},
}


def _layer(module: str) -> str | None:
    parts = module.split(".")
    if parts[0] != "pytest_gptoss" or len(parts) < 2:
        return None
    return parts[1]


def _imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.add(node.module)
            if node.module == "pytest_gptoss":
                found.update(f"pytest_gptoss.{alias.name}" for alias in node.names)
    return found


def _files():
    return sorted(path for path in PACKAGE.rglob("*.py") if "acceptance" not in path.parts)


@pytest.mark.parametrize("path", _files(), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_imports_run_downwards(path):
    layer = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    imports = _imports(path)
    if layer in ALLOWED:
        above = {name for name in map(_layer, imports) if name} - ALLOWED[layer] - {"__version__"}
        assert not above, f"{layer} must not import {above}"
    else:
        servers = ("pytest_gptoss.reference", "pytest_gptoss.truth")
        below = {name for name in imports if name.startswith(servers)}
        assert not below, "our servers are started as processes, never imported"
    packages = {name.split(".")[0] for name in imports}
    assert not packages & FORBIDDEN_PACKAGES.get(layer, set())


def test_a_plain_pytest_run_imports_nothing_heavy(tmp_path):
    (tmp_path / "test_nothing.py").write_text("def test_nothing(): pass\n")
    script = (
        "import sys, pytest\n"
        "status = pytest.main(['-q', '-p', 'no:cacheprovider', 'test_nothing.py'])\n"
        "names = 'httpx numpy torch transformers rouge_score jinja2 jsonschema'\n"
        "heavy = set(names.split()) & set(sys.modules)\n"
        "ours = sorted(name for name in sys.modules if name.startswith('pytest_gptoss'))\n"
        "print(status, sorted(heavy), ours)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=120
    )
    last = done.stdout.splitlines()[-1]
    assert "[] [" in last, last
    for module in ("session", "run", "judge", "measure", "client", "report"):
        assert f"pytest_gptoss.{module}" not in last
    assert "gptoss" not in "\n".join(done.stdout.splitlines()[:-1])

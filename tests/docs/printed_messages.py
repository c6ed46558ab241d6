"""Every message that the package prints for an INVALID or skipped row or a usage error, from its source.

What varies stands as ``…``. A message that is a key of the reports' catalogue stands as its English text.
"""

import ast
import re
from functools import cache
from pathlib import Path
from string import Formatter

import pytest_gptoss
from pytest_gptoss.report.wording import catalogue

PACKAGE = Path(pytest_gptoss.__file__).parent
RAISED = {
    "InsufficientData", "ConditionAbsent", "MeasurementError", "DamagedFile", "StoreError", "UsageError",
    "RequestError", "ConnectError", "UnknownHost", "TlsError", "RequestTimeout", "StatusError", "StreamError",
    "DialectError", "MiscountError", "ReferenceServerError", "WorkerError", "LedgerError",
}  # fmt: skip
REASONS = re.compile(r"_?why_\w+|_way_out")
"""Functions that return a reason in words."""
ENDS = {"see the server's log"}
"""Advice that ends many messages, and is none alone."""
LEAST = 12
"""Letters that do not vary; a message with fewer is another one, passed on."""


@cache
def printed_messages():
    """Place in the package -> message."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text("utf-8"))
        for node in _saying(tree):
            text = _text(node)
            if text not in ENDS and len(re.sub(r"[^A-Za-z]", "", text)) >= LEAST:
                found[f"{path.relative_to(PACKAGE).as_posix()}:{node.lineno}"] = text
    return found


def _saying(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _name(node.func) in RAISED and node.args:
            yield node.args[0]
        elif isinstance(node, ast.FunctionDef) and REASONS.fullmatch(node.name):
            returned = [each.value for each in ast.walk(node) if isinstance(each, ast.Return) and each.value]
            for value in returned:
                yield from _branches(value)


def _branches(value):
    if isinstance(value, ast.IfExp):
        yield from (*_branches(value.body), *_branches(value.orelse))
    elif isinstance(value, ast.Constant | ast.JoinedStr | ast.BinOp) or _says(value):
        yield value


def _says(node):
    """Whether a node makes a message of a template."""
    return isinstance(node, ast.Call) and _name(node.func) == "say"


def _name(function):
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _text(node):
    if isinstance(node, ast.Constant):
        said = str(node.value)
        return re.sub(r"\{[^{}]*\}", "…", catalogue()[said]["en"]) if said in catalogue() else said
    if isinstance(node, ast.JoinedStr):
        return re.sub("…+", "…", "".join(_text(value) for value in node.values))
    if isinstance(node, ast.BinOp):
        return _text(node.left) + _text(node.right)
    if _says(node) and isinstance(node.args[0], ast.Constant):
        template = node.args[0].value
        return _filled(template) if node.keywords else template
    if isinstance(node, ast.Call) and node.args:
        return _text(node.args[0]) if isinstance(node.args[0], ast.Constant) else "…"
    return "…"


def _filled(template):
    parts = (text + ("" if name is None else "…") for text, name, _, _ in Formatter().parse(template))
    return re.sub("…+", "…", "".join(parts))

"""A report format is one module in ``report/formats``; whatever a new one lacks is named here."""

import contextlib
import dataclasses
import io
import json
from pathlib import Path

import jsonschema
import pytest
from documents import HERE, RECORDED, recorded

from pytest_gptoss.cli.main import main
from pytest_gptoss.model.language import LANGUAGES
from pytest_gptoss.report import files, formats
from pytest_gptoss.report.files import DOCUMENT, forget_reports, write_report
from pytest_gptoss.report.format import Format, Source
from pytest_gptoss.report.formats import MODULES, benchmark, format_names, markdown, precision
from pytest_gptoss.report.wording import Wording

PACKAGE = Path(formats.__file__).parents[1]
READMES = [PACKAGE.parents[1] / name for name in ("README.md", "README.zh-CN.md")]
DECLARED = [pytest.param(each, id=each.file) for each in formats.formats()]


def _lacking(each, directory):
    """What a format lacks, a line each."""
    lacks = []
    if not each.file or Path(each.file).name != each.file:
        return ["a file name"]
    others = [other.file for other in formats.formats() if other is not each]
    if each.file in [DOCUMENT, *others]:
        lacks.append(f"a file of its own: {each.file} is another's")
    unsaid = [f"wording: {fault}" for fault in _unsaid(each)]
    lacks += unsaid or (_schema_faults(each) if each.is_json else [])
    (directory / each.file).write_text("an earlier run's", "utf-8")
    forget_reports(directory)
    if (directory / each.file).exists():
        lacks.append("forgetting: its file survives the next run")
    if not each.by_run_alone and each.name not in _help():
        lacks.append("a name that pytest-gptoss report offers")
    readmes = [path for path in READMES if each.by_run and each.file not in path.read_text("utf-8")]
    lacks += [f"a row in {path.name}" for path in readmes]
    return lacks


def _unsaid(each):
    for language in LANGUAGES:
        try:
            each.render(Source(recorded("failing"), language))
        except KeyError as error:
            yield f"{error} in {language}"


def _schema_faults(each):
    path = PACKAGE / "schemas" / each.schema
    if not each.schema or not path.is_file():
        return ["a schema"]
    schema = json.loads(path.read_text("utf-8"))
    wrong = []
    for name in RECORDED:
        written = each.render(Source(recorded(name), "en"))
        found = jsonschema.Draft202012Validator(schema).iter_errors(written)
        wrong += [f"its schema: {name}: {fault.message}" for fault in found]
    return wrong


def _help():
    said = io.StringIO()
    with contextlib.redirect_stdout(said), pytest.raises(SystemExit):
        main(["report", "--help"])
    return said.getvalue()


def test_every_module_of_a_format_is_in_the_list():
    assert {path.stem for path in (PACKAGE / "formats").glob("*.py")} == {"__init__", *MODULES}


def test_every_schema_belongs_to_a_report():
    described = {each.schema for each in formats.formats() if each.schema}
    assert {path.name for path in (PACKAGE / "schemas").iterdir()} == {*described, "acceptance-1.schema.json"}


@pytest.mark.parametrize("each", DECLARED)
def test_every_format_is_whole(each, tmp_path):
    assert _lacking(each, tmp_path) == []


@pytest.mark.parametrize(
    ("changes", "lack"),
    [
        ({"file": ""}, "a file name"),
        ({"file": "a/b.md"}, "a file name"),
        ({"file": "acceptance.json"}, "a file of its own"),
        ({"file": "acceptance.md"}, "a file of its own"),
        ({"file": "new.md"}, "forgetting"),
        ({"file": "new.md"}, "a row in README.zh-CN.md"),
        ({"name": "new"}, "a name that pytest-gptoss report offers"),
        ({"schema": ""}, "a schema"),
        ({"schema": "new-1.schema.json"}, "a schema"),
        ({"schema": "acceptance-1.schema.json"}, "its schema"),
        ({"render": lambda source: Wording(source.language)("no such key")}, "wording"),
    ],
)
def test_what_a_format_lacks_is_named(changes, lack, tmp_path):
    forgetful = dataclasses.replace(precision.FORMAT, **changes)
    assert any(each.startswith(lack) for each in _lacking(forgetful, tmp_path))


def test_a_declared_format_is_written_listed_and_forgotten(tmp_path, monkeypatch, capsys):
    """One declaration is enough: the command offers, writes and lists the file, the next run removes it."""
    new = Format(name="csv", file="verdicts.csv", render=lambda source: source.document["state"])
    for module in (formats, files, "pytest_gptoss.cli.report"):
        name = module if isinstance(module, str) else module.__name__
        monkeypatch.setattr(f"{name}.formats", lambda: (markdown.FORMAT, new))
    assert format_names() == ("md", "csv")
    assert main(["report", str(HERE / "passing"), "--format", "csv", "--output", str(tmp_path)]) == 0
    assert capsys.readouterr().out.split() == [str(tmp_path / "verdicts.csv")]
    assert (tmp_path / "verdicts.csv").read_text("utf-8") == "finished"
    forget_reports(tmp_path)
    assert not list(tmp_path.iterdir())


def test_what_needs_the_store_gets_its_requests(tmp_path):
    source = Source(recorded("passing"), "en", lambda: iter([{"device": "npu"}]))
    write_report(tmp_path, benchmark.FORMAT, source)
    written = (tmp_path / "benchmark_report.json").read_text("utf-8")
    assert json.loads(written)["requests"] == [{"device": "npu"}]
    assert "\n " not in written

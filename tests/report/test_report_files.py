"""``pytest-gptoss report DIR``: a stored run rendered again, and mistakes told in a line."""

import json
import shutil
import sys
from pathlib import Path

import jsonschema
import pytest
from documents import HERE, RECORDED, hostile, recorded

import pytest_gptoss
from pytest_gptoss.cli.main import main
from pytest_gptoss.model.atomic_files import write_json
from pytest_gptoss.model.errors import UsageError
from pytest_gptoss.report.document import acceptance_document
from pytest_gptoss.report.files import forget_reports, read_document, write_reports
from pytest_gptoss.report.formats.long_context import long_context_report
from pytest_gptoss.report.formats.precision import precision_report

SCHEMAS = Path(pytest_gptoss.__file__).parent / "report" / "schemas"


def _schema(name):
    return json.loads((SCHEMAS / f"{name}.schema.json").read_text("utf-8"))


def _with(**parts):
    return json.dumps({**recorded("passing"), **parts})


@pytest.fixture
def run(tmp_path):
    shutil.copyfile(HERE / "failing" / "acceptance.json", tmp_path / "acceptance.json")
    return tmp_path


@pytest.mark.parametrize("name", RECORDED)
def test_recorded_documents_keep_the_schema(name):
    document = recorded(name)
    jsonschema.validate(document, _schema("acceptance-1"))
    jsonschema.validate(precision_report(document), _schema("precision-report-1"))
    jsonschema.validate(long_context_report(document), _schema("long-context-report-1"))


def test_the_schema_tells_right_from_wrong():
    document = recorded("failing")
    next(prompt for prompt in document["measurements"]["prompts"] if prompt["diff"])["diff"]["npu"] = []
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, _schema("acceptance-1"))
    running = acceptance_document(state="running", run=recorded("passing")["run"])
    jsonschema.validate(running, _schema("acceptance-1"))


def test_a_stored_run_is_rendered_again(run, capsys):
    assert main(["report", str(run), "--lang", "zh"]) == 0
    assert capsys.readouterr().out.split() == [str(run / "acceptance.html"), str(run / "acceptance.md")]
    assert "验收不通过" in (run / "acceptance.md").read_text("utf-8")
    assert '<html lang="zh">' in (run / "acceptance.html").read_text("utf-8")


def test_formats_and_place_are_chosen(run, tmp_path):
    other = tmp_path / "other" / "place"
    assert main(["report", str(run), "--format", "junit", "--format", "json", "--output", str(other)]) == 0
    assert {path.name for path in other.iterdir()} == {
        "acceptance.xml", "precision_report.json", "long_context_report.json",
    }  # fmt: skip
    written = json.loads((other / "precision_report.json").read_text("utf-8"))
    assert written == precision_report(read_document(run))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "there is no acceptance.json"),
        ("{", "not a report"),
        ("[]", "schema_version is None"),
        ('{"schema_version": 99}', "schema_version is 99"),
        ('{"schema_version": 1, "state": "finished"}', "lacks run, devices"),
        (_with(run={}), "lacks run.started, run.ended"),
        (_with(run=[]), 'run is [], its schema says type "object"'),
        (_with(devices={}), 'devices is {}, its schema says type "array"'),
        (_with(verdicts=[{}]), "lacks verdicts[0].changed_from"),
    ],
)
def test_what_is_no_run_is_a_usage_error(content, words, tmp_path, capsys):
    if content is not None:
        (tmp_path / "acceptance.json").write_text(content, "utf-8")
    assert main(["report", str(tmp_path)]) == 4
    error = capsys.readouterr().err
    assert words in error
    assert len(error.splitlines()) == 1


def test_a_place_that_cannot_be_written_is_told(run, tmp_path, capsys):
    (tmp_path / "file").write_text("", "utf-8")
    assert main(["report", str(run), "--format", "md", "--output", str(tmp_path / "file")]) == 4
    assert "reports need a directory" in capsys.readouterr().err


def test_without_the_extra_the_rest_is_written(run, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    assert main(["report", str(run)]) == 1
    assert "pip install 'pytest-gptoss[report]'" in capsys.readouterr().err
    assert (run / "acceptance.md").is_file()
    assert not (run / "acceptance.html").exists()


def test_an_earlier_runs_renderings_are_forgotten(run):
    write_reports(run, read_document(run), names=("md", "json", "junit"), language="en")
    assert (run / "acceptance.xml").is_file()
    forget_reports(run)
    assert {path.name for path in run.iterdir()} == {"acceptance.json"}


def test_half_a_surrogate_pair_survives_the_file(tmp_path):
    document = hostile(1)
    document["measurements"]["needles"][0]["first_token_ms"] = None
    document["measurements"]["load"]["levels"][0]["throughput_tok_s"] = None
    write_json(tmp_path / "acceptance.json", document)
    assert read_document(tmp_path) == document


def test_an_unknown_option_is_a_usage_error(run, capsys):
    assert main(["report", str(run), "--colour"]) == 4
    assert "--colour" in capsys.readouterr().err
    with pytest.raises(UsageError):
        read_document(run / "nowhere")


def test_what_cannot_be_forgotten_is_a_usage_error(run):
    (run / "acceptance.html").mkdir()
    with pytest.raises(UsageError, match=r"acceptance\.html.*move it away"):
        forget_reports(run)


def test_why_one_json_report_is_not_written_again_is_said(run, capsys):
    assert main(["report", str(run), "--format", "json"]) == 0
    assert "benchmark_report.json is written by a run alone" in capsys.readouterr().err

"""Every command block of README and documentation is tried, or says by a mark what it needs.

A mark is a comment in the line before the block::

    <!-- needs: devices -->          or vllm, network, root; several with commas
    <!-- run by: tests/test_x.py::test_y -->
    <!-- run by: .ci/run the README's embedded acceptance run -->

Marked or not, options, sub-commands and files that a block names must exist, and all of its ``pytest``
commands are accepted up to collection. ``test_commands_live.py`` runs them against the embedded pair, each on
a few rows.
"""

import json
import re
import shutil
import subprocess
import sys
from collections import defaultdict

import pytest
import stored_runs
from command_blocks import ROOT, Block, blocks, every_block, pages
from command_checks import EMPTY, STAND_INS, Fault, Unchecked, bad_variables, check, refuse_bad_mark

from pytest_gptoss.cli.main import _COMMANDS, main
from pytest_gptoss.config.options import OPTIONS
from pytest_gptoss.model.resources import acceptance_tests, fixture

BLOCKS = every_block()
COMMANDS = [block for block in BLOCKS if block.kind == "commands"]
COLLECT = """
import contextlib, io, json, sys, pytest
for arguments in json.load(sys.stdin):
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        status = int(pytest.main(arguments))
    print(json.dumps([status, said.getvalue()[-2000:]]))
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder with what the commands' readers have: a finished run, a baseline, files of their own."""
    folder = tmp_path_factory.mktemp("reader")
    plan = stored_runs.make_run(folder / "finished")
    stored_runs.make_baseline(folder / STAND_INS["baseline"], folder / "finished", plan)
    shutil.copy(ROOT / "tests/report/runs/passing/acceptance.json", folder / "finished")
    shutil.copy(fixture("prompts", "embedded.json"), folder / STAND_INS["prompts"])
    (folder / STAND_INS["thresholds"]).write_text('[thresholds."precision.rouge_l"]\nlimit = 0.97\n')
    (folder / STAND_INS["signatures"]).write_text(
        '[log.fan]\npattern = "fan stopped"\nremedy = "Clean it."\n'
    )
    (folder / STAND_INS["trace"]).write_text("timestamp,input_length,output_length\n0,60,3\n250,200,5\n")
    for name in EMPTY:
        (folder / name).touch()
    return folder


def _faults(block):
    """What is wrong with a block, a line each, and the arguments that pytest must still accept."""
    wrong, collected = [], []
    try:
        refuse_bad_mark(block)
        commands = list(block.commands())
    except (Fault, ValueError) as error:
        return [str(error)], []
    for words in commands:
        try:
            arguments = check(words)
        except Unchecked as error:
            if block.mark is None:
                wrong.append(f"{error}; mark the block, as <!-- needs: devices -->")
        except Fault as error:
            wrong.append(str(error))
        else:
            collected += [] if arguments is None else [arguments]
    wrong += [f"nothing reads the variable {name}" for name in bad_variables(block)]
    return wrong, [] if block.mark and block.mark[0] == "run by" else collected


def test_every_block_is_of_a_known_kind():
    unknown = [f"{block.place}: {block.language or 'no language'}" for block in BLOCKS if block.kind is None]
    assert not unknown, "commands, or other? Name the language: ```bash, ```text, ```toml"


def test_there_are_commands_on_every_page_that_people_start_with():
    for page in ("README.md", "README.zh-CN.md"):
        assert [block for block in COMMANDS if block.page == page], page


@pytest.mark.parametrize("block", COMMANDS, ids=lambda block: block.place)
def test_what_a_command_names_exists(block):
    wrong, _ = _faults(block)
    assert not wrong, f"{block.place}: {'; '.join(wrong)}"


def test_every_pytest_command_is_accepted(files):
    """By the real plugin, up to collection: no usage error, and something is selected."""
    wanted = defaultdict(list)
    for block in COMMANDS:
        for arguments in _faults(block)[1]:
            wanted[arguments].append(block.place)
    lists = [
        [str(acceptance_tests()), "--collect-only", "-q", "-p", "no:cacheprovider", *each] for each in wanted
    ]
    done = subprocess.run(
        [sys.executable, "-c", COLLECT], input=json.dumps(lists), cwd=files, capture_output=True, text=True,
        check=True, timeout=600,
    )  # fmt: skip
    said = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(said) == len(wanted)
    refused = [
        f"{', '.join(places)}: pytest {' '.join(arguments)}: status {status}\n{text}"
        for (arguments, places), (status, text) in zip(wanted.items(), said, strict=True)
        if status != 0
    ]
    assert not refused, "\n".join(refused)


RUN = sorted(
    {words[1:] for block in COMMANDS for words in block.commands() if words[:2] in (
        ("pytest-gptoss", "plan"), ("pytest-gptoss", "report"))}
)  # fmt: skip


@pytest.mark.parametrize("words", RUN, ids=" ".join)
def test_a_command_that_needs_no_server_runs(words, files, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(files)
    name, *rest = words
    if name == "report":
        rest = ["finished", *rest[1:], "--output", str(tmp_path)]
    assert main([name, *rest]) == 0, capsys.readouterr()
    assert capsys.readouterr().out


def test_every_option_that_a_page_names_is_built():
    built = {option.flag for option in OPTIONS}
    pattern = re.compile(
        r"(?<![\w-])--(?:gptoss-[a-z-]*[a-z]|npu-(?:url|label)|gpu-(?:url|label)|cpu-(?:url|label)|embedded)\b"
    )
    own = {"docs/extending.md": {"--gptoss-report-title"}}
    for path in pages():
        page = path.relative_to(ROOT).as_posix()
        named = set(pattern.findall(path.read_text("utf-8"))) - own.get(page, set())
        assert named <= built, f"{page}: {sorted(named - built)}"


def test_every_subcommand_that_a_page_names_is_built():
    for path in pages():
        named = set(re.findall(r"pytest-gptoss ([a-z]+(?:-[a-z]+)*)(?=[ `])", path.read_text("utf-8")))
        code = {name for name in named if f"`pytest-gptoss {name}" in path.read_text("utf-8")}
        assert code <= set(_COMMANDS), f"{path.name}: {sorted(code - set(_COMMANDS))}"


def test_the_chinese_readme_lacks_no_option_and_no_command():
    english, chinese = ((ROOT / name).read_text("utf-8") for name in ("README.md", "README.zh-CN.md"))
    for pattern in (r"--[a-z][a-z-]+", r"pytest-gptoss [a-z-]+"):
        assert set(re.findall(pattern, english)) <= set(re.findall(pattern, chinese))


PAGE = """# A page

```bash
pytest --embedded -m precision   # a comment
pip install '.[dev]' && make demo | tee log > out 2>&1
```

<!-- needs: devices -->
```bash
A=1 vllm serve MODEL \\
  --max-model-len 131072
```

    pytest-gptoss plan

    pytest --npu-url http://npu:8000

Text.

    [thresholds."a"]
    limit = 1

1. A list:

    with a paragraph

```
what is this
```
"""


def test_blocks_are_found_and_told_apart():
    found = blocks(PAGE, "page.md")
    assert [block.kind for block in found] == ["commands", "commands", "commands", "other", None]
    assert [block.line for block in found] == [3, 9, 14, 20, 27]
    assert list(found[0].commands()) == [
        ("pytest", "--embedded", "-m", "precision"),
        ("pip", "install", ".[dev]"), ("make", "demo"), ("tee", "log"),
    ]  # fmt: skip
    assert list(found[1].commands()) == [("vllm", "serve", "MODEL", "--max-model-len", "131072")]
    assert found[1].mark == ("needs", "devices")
    assert list(found[2].commands()) == [
        ("pytest-gptoss", "plan"),
        ("pytest", "--npu-url", "http://npu:8000"),
    ]


@pytest.mark.parametrize(
    ("text", "mark", "fault"),
    [
        ("vllm serve M", None, "nothing checks 'vllm'; mark the block"),
        ("vllm serve M", ("needs", "luck"), "needs: luck: it takes devices"),
        ("vllm serve M", ("run by", "tests/test_nothing.py::test_x"), "there is no such file"),
        ("vllm serve M", ("run by", "tests/docs/test_commands.py::test_x"), "has no test_x"),
        ("vllm serve M", ("run by", ".ci/run the moon"), "has no stage the moon"),
        ("vllm serve M", ("run by", ".ci/run"), "name the test"),
        ("pytest-gptoss fly", ("needs", "devices"), "has no command 'fly'"),
        ("pytest-gptoss plan --device-memory 64 --moon", None, "has no option --moon"),
        ("pytest-gptoss plan --cards", None, "not what its parser takes"),
        ("python tools/nothing.py", ("needs", "vllm"), "there is no such file"),
        ("python tools/vllm_cpu.py --moon", None, "has no option --moon"),
        ("pytest tests/nothing.py", None, "there is no such file"),
        ("pip install '.[moon]'", None, "has no extra moon"),
        ("nox -s moon", None, "has no session moon"),
        ("export GPTOSS_MOON=1", None, "nothing reads the variable GPTOSS_MOON"),
        ("echo 'a", None, "No closing quotation"),
    ],
)
def test_what_is_wrong_with_a_block_is_told(text, mark, fault):
    wrong, _ = _faults(Block("page.md", 1, "bash", text + "\n", mark))
    assert any(fault in each for each in wrong), wrong


def test_a_mark_that_names_something_is_accepted():
    for mark in (
        ("needs", "devices, vllm"),
        ("run by", "tests/docs/test_commands.py::test_blocks_are_found_and_told_apart"),
        ("run by", ".ci/run the README's embedded acceptance run"),
    ):
        assert _faults(Block("page.md", 1, "bash", "vllm serve M\n", mark)) == ([], [])

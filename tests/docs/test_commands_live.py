"""The acceptance commands of README and documentation, run against the embedded pair.

A block runs as a whole, in a folder that holds what its reader has; ``substitutions.py`` says what takes the
place of addresses and files. Every other block has a mark, or prepares an environment.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from command_blocks import ROOT, Block, every_block
from command_checks import HARMLESS
from substitutions import ELSEWHERE, FILES, PREPARED, elsewhere, live, module_arguments, substituted

COMMANDS = [block for block in every_block() if block.kind == "commands"]


def _live_commands(block):
    """Those commands of a block that run here, as they run."""
    if block.mark not in (None, ("needs", "devices")):
        return ()
    return tuple(substituted(words) for words in block.commands() if live(words))


LIVE = {}
"""What is run, and the first place that says it: pages in two languages say much alike."""
for each in COMMANDS:
    LIVE.setdefault(_live_commands(each), each.place)
LIVE.pop((), None)


def _not_run(block):
    """Commands of a block that nothing runs although no mark says why."""
    if block.mark is not None:
        return []
    return [
        " ".join(words)
        for words in block.commands()
        if not live(words) and not elsewhere(words) and words[0] not in HARMLESS
    ]


@pytest.mark.parametrize("block", COMMANDS, ids=lambda block: block.place)
def test_a_block_is_run_or_marked(block):
    assert not _not_run(block), f"{block.place}: mark the block, as <!-- needs: devices -->"


def test_what_is_run_elsewhere_has_its_test():
    assert not [place for place in ELSEWHERE.values() if not (ROOT / place).is_file()]


def test_what_nothing_runs_is_found():
    text = "vllm serve M\npytest --npu-url http://npu:8000\nmake demo\nnox -s vllm\n"
    assert _not_run(Block("page.md", 1, "bash", text, None)) == ["vllm serve M", "nox -s vllm"]
    assert not _not_run(Block("page.md", 1, "bash", text, ("needs", "devices, vllm")))


def test_every_address_is_one_of_the_pair():
    urls = {"npu": "http://127.0.0.1:1", "gpu": "http://127.0.0.1:2"}
    words = {word for block in LIVE for command in block for word in module_arguments(command, urls)}
    addresses = {word for word in words if "://" in word}
    assert addresses
    assert all(address.startswith(tuple(urls.values())) for address in addresses)


@pytest.fixture(scope="module")
def run(embedded_pair):
    """Run a substituted command in a folder; fails the test for another status than 0."""
    # Nothing is rewritten: what the forks have in common is imported before pytest starts.
    options = "-p no:hypothesispytest -p no:cacheprovider --assert=plain"
    with subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("forking.py"))], text=True,
        env={**os.environ, "PYTEST_ADDOPTS": options}, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as forking:  # fmt: skip

        def run(command, folder):
            wanted = {"folder": str(folder), "arguments": module_arguments(command, embedded_pair)}
            print(json.dumps(wanted), file=forking.stdin, flush=True)
            ended = json.loads(forking.stdout.readline())
            assert ended["status"] == 0, f"{' '.join(command)}: status {ended['status']}\n{ended['said']}"

        yield run


@pytest.fixture(scope="module")
def prepared(run, tmp_path_factory):
    """A folder with a reader's files and with the report of a finished run."""
    folder = tmp_path_factory.mktemp("reader")
    for name, text in FILES.items():
        (folder / name).write_text(text, "utf-8")
    run(substituted(PREPARED), folder)
    return folder


@pytest.mark.parametrize("commands", LIVE, ids=LIVE.values())
def test_a_block_runs_against_the_embedded_pair(commands, run, prepared, tmp_path):
    folder = shutil.copytree(prepared, tmp_path / "reader")
    for command in commands:
        run(command, folder)

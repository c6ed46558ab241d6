"""The READMEs and the pages behind them keep their word: what they name exists, and nothing is left out."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text("utf-8")
CHINESE = (ROOT / "README.zh-CN.md").read_text("utf-8")
PAGES = {
    "en": [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))],
    "zh": [ROOT / "README.zh-CN.md", *sorted((ROOT / "docs" / "zh").glob("*.md"))],
}
"""README and what was moved out of it, by language."""
TEXT = {language: "\n".join(page.read_text("utf-8") for page in pages) for language, pages in PAGES.items()}

FLAGS, COMMANDS = r"--[a-z][a-z-]+", r"pytest-gptoss [a-z-]+"


SAID_IN_CHINESE = """
--api-url --concurrency --context --cards --defect --device-memory --embedded --format --gptoss-baseline
--gptoss-bench-endpoint --gptoss-concurrency --gptoss-cpu-model --gptoss-expect --gptoss-gpu-log
--gptoss-gpu-model --gptoss-hidden-cpu --gptoss-hidden-gpu --gptoss-hidden-npu --gptoss-info
--gptoss-inputs --gptoss-lang --gptoss-load-gpu --gptoss-max-context-len --gptoss-max-tokens
--gptoss-needle --gptoss-needle-grid --gptoss-needle-trials --gptoss-no-calibration --gptoss-npu-log
--gptoss-npu-model --gptoss-num-requests --gptoss-profile --gptoss-prompt-len --gptoss-question
--gptoss-ready-timeout --gptoss-record --gptoss-replay --gptoss-seed --gptoss-signatures
--gptoss-thresholds --gptoss-trials --gptoss-waive --gpu-url --junitxml --npu-url --test-prompts
"""


def test_the_chinese_pages_name_the_options_that_people_need():
    assert set(SAID_IN_CHINESE.split()) <= set(re.findall(FLAGS, TEXT["zh"]))


@pytest.mark.parametrize("text", [README, CHINESE], ids=["README.md", "README.zh-CN.md"])
def test_a_readme_is_short_and_starts_with_a_picture(text):
    lines = text.splitlines()
    assert len(lines) <= 150
    picture = next(index for index, line in enumerate(lines) if line.startswith("!["))
    assert picture < 25
    path = re.search(r"\]\((.+)\)", lines[picture])[1]
    assert (ROOT / path).stat().st_size < 150_000


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md", "CONTRIBUTING.md"])
def test_its_links_lead_somewhere(name):
    text = (ROOT / name).read_text("utf-8")
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text)
    assert links
    assert not [link for link in links if not (ROOT / link).is_file()]


BLOCK = re.compile(r"(<!-- needs: devices -->\n)?```bash\n(.*?)```", re.DOTALL)


@pytest.mark.parametrize("text", [README, CHINESE], ids=["README.md", "README.zh-CN.md"])
def test_commands_that_need_no_device_are_what_make_and_the_gate_run(text):
    """The others are marked; those of make are run dry by test_makefile.py."""
    lines = [line for marked, block in BLOCK.findall(text) if not marked for line in block.splitlines()]
    commands = [line.partition("#")[0].strip() for line in lines]
    assert commands == [
        "make demo",
        "make test",
        "python3 -m venv .venv",
        ".venv/bin/pip install -e '.[dev]'",
        ".venv/bin/pytest --embedded",
        "make demo TORCH_INDEX=https://download.pytorch.org/whl/cpu",
    ]
    assert all("pytest" in block or "vllm serve" in block for marked, block in BLOCK.findall(text) if marked)


def test_no_machine_and_no_development_is_in_the_tracked_files():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a clone: there is no list of tracked files")
    here = [f"{place}/".encode() for place in (ROOT, Path.home())]
    for name in listed.stdout.decode().split("\0"):
        path = ROOT / name
        if name and path.is_file():
            assert not [place for place in here if place in path.read_bytes()], name

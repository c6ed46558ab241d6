"""What takes the place of a reader's devices and files when commands of the documentation are run.

Against the embedded pair a command is as printed, but for what the tables below replace and add: addresses,
files, and a choice of rows with which a run takes a second or two.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from pytest_gptoss.model.resources import acceptance_tests

__all__ = ["ELSEWHERE", "FILES", "PREPARED", "elsewhere", "live", "module_arguments", "substituted"]

SERVERS: Mapping[str, str] = {
    "http://npu:8000": "npu",
    "http://npu:8001": "npu",
    "http://127.0.0.1:8000": "npu",
    "http://gpu:8000": "gpu",
    "http://gpu:8001": "gpu",
    "http://gpu-host:8000": "gpu",
}
"""Which server of the pair answers in the place of an address."""

WORDS: Mapping[str, str] = {
    "--npu-url ...": "--npu-url http://npu:8000",
    "--gpu-url ...": "--gpu-url http://gpu:8000",
    "--embedded": "--npu-url http://npu:8000 --gpu-url http://gpu:8000",
    "--gptoss-cpu-model /models/gpt-oss-20b-bf16": "--gptoss-cpu-model tiny",
    "--gptoss-lm-head /models/gpt-oss-20b-bf16": "--gptoss-lm-head tiny",
    "--cpu-url http://cpu:8000": "--gptoss-cpu-model tiny",
    "--pyargs pytest_gptoss.acceptance": "",
    ".venv/bin/": "",
}
"""Other parts of a command line. The acceptance tests are named by their path; the pair runs already."""

FILES: Mapping[str, str] = {
    "prompts.json": '[{"id": "capital", "prompt": "What is the capital of France?", "max_tokens": 24}]',
    "mine.toml": '[thresholds."precision.rouge_l"]\nlimit = 0.97\n',
    "trace.csv": "time,prompt_tokens,output_tokens\n0,16,4\n0.5,16,4\n",
    "vllm.log": "INFO: application startup complete\n",
}
"""Files that a reader has, by their names on the pages."""
PREPARED = ("pytest", "--npu-url", "http://npu:8000", "--gpu-url", "http://gpu:8000")
"""The run whose ``gptoss-report`` a reader has."""

PROFILE = ("--gptoss-profile=embedded",)
PROMPTS = (*PROFILE, "--gptoss-prompts=prompts.json")
RECOVERED = ("--gptoss-hidden-npu=logprobs", "--gptoss-hidden-positions=16")
LOAD = (*PROFILE, "--gptoss-no-calibration", "--gptoss-max-tokens=4")
ONE_AT_A_TIME = (*LOAD, "--gptoss-concurrency=1", "--gptoss-num-requests=2", "-k", "completed.c01")
AUDIT = (
    *(*PROMPTS, "--gptoss-no-calibration", "--gptoss-max-tokens=16"),
    *("--gptoss-concurrency=1", "--gptoss-num-requests=2", "-k", "audit.c01"),
)
ADDED: Sequence[tuple[str, tuple[str, ...]]] = (
    ("pytest-gptoss (plan|report) ", ()),
    ("pytest-gptoss hidden ", ("--profile=embedded",)),
    ("verify-precision |--gptoss-replay ", (*PROFILE, "-k", "rouge_l")),
    ("long-context |-m needle", (*PROFILE, "-k", "recall.d000-256")),
    ("--concurrency 16 ", (*LOAD, "--gptoss-num-requests=16", "-k", "completed.c16")),
    ("benchmark |-m performance", ONE_AT_A_TIME),
    ("-m stress", AUDIT),
    ("-m preflight", PROMPTS),
    ("--gptoss-lm-head ", (*PROMPTS, *RECOVERED, "-k", "hidden_cosine")),
    ("--gptoss-hidden-npu ", (*PROMPTS, "-k", "hidden_cosine")),
    ("--gpu-url |--gptoss-baseline ", (*PROMPTS, "-k", "rouge_l")),
    ("", (*PROMPTS, "-k", "leakage")),
)
"""What is added to a command: the arguments beside the first pattern found in it."""

ELSEWHERE: Mapping[str, str] = {
    "make ": "tests/test_makefile.py",
    "python3 -m venv ": "tests/test_makefile.py",
    "pip ": "tests/test_wheel.py",
    "pytest --npu-url eager=": "tests/plugin/test_configurations_run.py",
    "pytest --pyargs pytest_gptoss.acceptance --npu-url eager=": "tests/plugin/test_configurations_run.py",
}
"""How commands begin that prepare an environment or need more servers than two, and what runs their like."""


def live(words: Sequence[str]) -> bool:
    """Whether a command is run against the pair."""
    program = words[0].removeprefix(".venv/bin/")
    return program in ("pytest", "pytest-gptoss") and not elsewhere(words)


def elsewhere(words: Sequence[str]) -> bool:
    """Whether other tests run the like of a command."""
    return " ".join(words).removeprefix(".venv/bin/").startswith(tuple(ELSEWHERE))


def substituted(words: Sequence[str]) -> tuple[str, ...]:
    """A command with what is added to it; addresses are left to ``module_arguments``."""
    line = "\0".join(words)
    for printed, meant in WORDS.items():
        line = line.replace(printed.replace(" ", "\0"), meant.replace(" ", "\0"))
    spaced = line.replace("\0", " ") + " "
    added = next(each for pattern, each in ADDED if re.search(pattern, spaced))
    return (*(word for word in line.split("\0") if word), *added)


def module_arguments(command: Sequence[str], urls: Mapping[str, str]) -> list[str]:
    """Module and arguments that run a substituted command against the pair at ``urls``."""
    program, *rest = (_addressed(word, urls) for word in command)
    started = ["pytest", str(acceptance_tests())] if program == "pytest" else ["pytest_gptoss.cli"]
    return [*started, *rest]


def _addressed(word: str, urls: Mapping[str, str]) -> str:
    for address, role in SERVERS.items():
        word = word.replace(address, urls[role])
    return word

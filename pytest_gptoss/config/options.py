"""The option table: every option once, by group.

A row serves pytest's parser, the checks, the error messages and the documentation, so they cannot disagree.
``tests/config/test_options_<group>.py`` holds what is promised about a group.
"""

from __future__ import annotations

from collections.abc import Mapping

from pytest_gptoss.config.option import Exclusion, Need, OnReplay, Option
from pytest_gptoss.config.option_types import (
    ABOVE_0,
    ARRIVALS,
    CHECKPOINT,
    CHECKPOINT_OR_FILE,
    CLUSTER,
    COMMAND,
    DIRECTORY,
    ENVIRONMENT,
    FACT,
    FILE,
    HIDDEN_SOURCE,
    LEDGER,
    LEVELS,
    MILLISECONDS,
    OUTPUT_PATH,
    RATES,
    SECONDS,
    SHARE,
    SWITCH,
    TEXT,
    URL,
    WAIVER,
    choice,
    whole_number,
    whole_number_or_all,
)
from pytest_gptoss.model.fleet import MOST_ASKED
from pytest_gptoss.model.gptoss import CONTEXT
from pytest_gptoss.model.language import LANGUAGES
from pytest_gptoss.model.paths import CHAT_PATH

__all__ = ["DEFAULT_PROFILE", "GROUPS", "MOST_WORKERS", "OPTION", "OPTIONS"]

DEFAULT_PROFILE = "atlas-800-a2"
LEAST_PROMPT = 160
"""Fewest tokens of a prompt under load: the chat's frame, the question and a sentence or two."""
LEAST_OUTPUT = 2
"""One output token alone has no time per output token."""

MOST_WORKERS = 256
"""Processes that put load: more than any machine's cores give a use for."""

LEAST_SCORED, MOST_SCORED = 256, 8192
"""Tokens of a sequence whose log-probabilities are asked for in one request."""

_NO_SERVER, _MEASURED, _FREE = OnReplay.NO_SERVER, OnReplay.MEASURED, OnReplay.FREE
_A_GPU = Need("gpu", "there is no gpu in this run; add --gpu-url URL or --gptoss-baseline FILE")
_A_CPU = Need("cpu", "there is no cpu in this run; add --cpu-url URL or --gptoss-cpu-model DIR")

_DEVICES = (
    Option(
        "--npu-url",
        f"server under test: root, .../v1 or ...{CHAT_PATH}; several with NAME=URL",
        "[NAME=]URL",
        URL,
        _NO_SERVER,
        repeats=True,
        by_name=True,
    ),
    Option("--gpu-url", "baseline server", "URL", URL, _NO_SERVER),
    Option("--cpu-url", "FP32 reference server", "URL", URL, _NO_SERVER),
    Option(
        "--npu-label",
        "what people call the device under test",
        "[NAME=]TEXT",
        TEXT,
        _NO_SERVER,
        repeats=True,
        by_name=True,
    ),
    Option("--gpu-label", "what people call the baseline", "TEXT", TEXT, _NO_SERVER, needs=_A_GPU),
    Option("--cpu-label", "what people call the reference", "TEXT", TEXT, _NO_SERVER, needs=_A_CPU),
    Option(
        "--embedded",
        "start the embedded pair as npu and gpu, with profile 'embedded'",
        None,
        SWITCH,
        _NO_SERVER,
        default=False,
        excludes=Exclusion(
            ("npu_url", "gpu_url", "npu_serve", "gpu_serve"), "the embedded pair is both npu and gpu"
        ),
    ),
    Option(
        "--gptoss-cpu-model",
        "start the CPU reference on this checkpoint as cpu",
        "DIR",
        CHECKPOINT,
        _NO_SERVER,
        excludes=Exclusion(("cpu_url",), "either start the CPU reference or name a running one"),
    ),
    Option(
        "--gptoss-npu-model",
        "served model name on the NPU (default: the one it lists); of one of several with NAME=MODEL",
        "[NAME=]MODEL",
        TEXT,
        _NO_SERVER,
        repeats=True,
        by_name=True,
    ),
    Option("--gptoss-gpu-model", "served model name on the GPU", "NAME", TEXT, _NO_SERVER, needs=_A_GPU),
    Option(
        "--gptoss-cpu-model-name",
        "served model name on the CPU reference",
        "NAME",
        TEXT,
        _NO_SERVER,
        needs=_A_CPU,
    ),
)

_SERVE = (
    Option(
        "--npu-serve",
        "start the server under test by this command line, with {port} in it; several take turns",
        "[NAME=]COMMAND",
        COMMAND,
        _NO_SERVER,
        repeats=True,
        by_name=True,
    ),
    Option(
        "--gpu-serve",
        "start the baseline server by this command line, with {port} in it",
        "COMMAND",
        COMMAND,
        _NO_SERVER,
        excludes=Exclusion(("gpu_url", "baseline"), "there is one baseline"),
    ),
    Option(
        "--gptoss-serve-env",
        "environment of the servers that the run starts; of one of them with NAME:",
        "[NAME:]VAR=VALUE",
        ENVIRONMENT,
        _NO_SERVER,
        repeats=True,
    ),
    Option(
        "--gptoss-serve-dir",
        "working directory of the servers that the run starts",
        "DIR",
        DIRECTORY,
        _NO_SERVER,
    ),
    Option(
        "--gptoss-serve-pooling",
        "start a pooling variant of the same command where hidden states cannot be had otherwise",
        None,
        SWITCH,
        _NO_SERVER,
        default=False,
    ),
)

_FLEET = (
    Option(
        "--gptoss-fleet",
        "servers of one model, judged by each other: a table per node with url, label, model, log",
        "FILE.toml",
        FILE,
        _NO_SERVER,
        excludes=Exclusion(
            ("npu_url", "npu_serve", "embedded", "npu_label", "npu_model", "npu_log"),
            "the fleet's file names the devices under test, with their labels, models and logs",
        ),
    ),
    Option(
        "--gptoss-fleet-parallel",
        "most requests in flight over all nodes of a fleet (default 256)",
        "N",
        whole_number(1, MOST_ASKED),
        _MEASURED,
        default=256,
    ),
    Option(
        "--gptoss-fleet-canaries",
        "prompts that every node of a fleet answers in each round (default 16)",
        "N",
        whole_number(4, MOST_ASKED),
        _MEASURED,
        default=16,
    ),
    Option(
        "--gptoss-fleet-repeats",
        "rounds of these prompts (default 4)",
        "N",
        whole_number(2, 100),
        _MEASURED,
        default=4,
    ),
)

_CONNECTION = (
    Option("--gptoss-ca-bundle", "certificates to trust for https", "FILE", FILE, _FREE),
    Option(
        "--gptoss-trust-env",
        "use the environment's certificates and proxies (load connects directly)",
        None,
        SWITCH,
        _FREE,
        default=False,
    ),
    Option(
        "--gptoss-timeout",
        "longest gap between two tokens, seconds (default 60)",
        "S",
        SECONDS,
        _FREE,
        default=60.0,
    ),
    Option(
        "--gptoss-first-token-timeout",
        "longest wait for the first token, s (default: by length)",
        "S",
        SECONDS,
        _FREE,
    ),
    Option(
        "--gptoss-ready-timeout",
        "longest wait for a server to start, seconds (default 600)",
        "S",
        SECONDS,
        _FREE,
        default=600.0,
    ),
)

_JUDGING = (
    # The default is not the table's: a replay has it from the stored run, the embedded pair its own.
    Option(
        "--gptoss-profile",
        "threshold table: atlas-800-a2 (default) or embedded",
        "NAME",
        TEXT,
        OnReplay.PREFERRED,
    ),
    Option("--gptoss-thresholds", "changes to the table", "FILE.toml", FILE, _FREE),
    Option(
        "--gptoss-compare",
        "answers compared as the guide says, free (default), or under teacher forcing, forced",
        "KIND",
        choice(("free", "forced")),
        _FREE,
        default="free",
    ),
    Option(
        "--gptoss-waive",
        "do not judge this threshold, and say why",
        "ID=REASON",
        WAIVER,
        _FREE,
        repeats=True,
    ),
)

_INPUTS = (
    Option(
        "--gptoss-inputs",
        "chat (default) or token-ids: send the baseline's prompt ids",
        "KIND",
        choice(("chat", "token-ids")),
        OnReplay.STORED,
        default="chat",
        needs=Need(
            "gpu",
            "no baseline whose prompt ids could be sent; add --gpu-url URL or --gptoss-baseline FILE",
            value="token-ids",
        ),
    ),
    Option(
        "--gptoss-prompts",
        "precision prompts: JSON list of strings or objects",
        "FILE",
        FILE,
        OnReplay.SAME,
    ),
    Option(
        "--gptoss-cpu-sequences",
        "baseline answers that the CPU reference scores, drawn over the prompts' tags (default 24)",
        "N",
        whole_number(2),
        OnReplay.STORED,
        default=24,
        needs=_A_CPU,
    ),
    # The default is the profile's.
    Option(
        "--gptoss-max-scored-tokens",
        f"tokens of the longest sequence scored at once, up to {MOST_SCORED}; giving it says that "
        "memory suffices (default: 2048, more where max_num_batched_tokens is known to be at most 2048)",
        "N",
        whole_number(LEAST_SCORED, MOST_SCORED),
        _MEASURED,
    ),
)

_HIDDEN = (
    Option(
        "--gptoss-hidden-npu",
        "where the NPU's hidden states come from: pooling server, recorded file, or log-probabilities",
        "[NAME=]URL|FILE|logprobs",
        HIDDEN_SOURCE,
        _NO_SERVER,
        repeats=True,
        by_name=True,
    ),
    Option(
        "--gptoss-hidden-gpu",
        "where the GPU's hidden states come from",
        "URL|FILE|logprobs",
        HIDDEN_SOURCE,
        _NO_SERVER,
        needs=_A_GPU,
    ),
    Option(
        "--gptoss-hidden-cpu",
        "where the CPU's hidden states come from: their distance is told beside the error ratio",
        "URL|FILE|logprobs",
        HIDDEN_SOURCE,
        _NO_SERVER,
        needs=_A_CPU,
    ),
    Option(
        "--gptoss-lm-head",
        "checkpoint whose lm_head recovers hidden states from log-probabilities, where there is no /pooling",
        "DIR|FILE",
        CHECKPOINT_OR_FILE,
        _NO_SERVER,
    ),
    Option(
        "--gptoss-hidden-positions",
        "positions at which hidden states are recovered, over all fixed sequences (default 128)",
        "N",
        whole_number(16),
        _NO_SERVER,
        default=128,
    ),
)

_REPORT = (
    Option(
        "--gptoss-report",
        "directory of the reports (default gptoss-report)",
        "DIR",
        OUTPUT_PATH,
        _FREE,
        default="gptoss-report",
    ),
    Option(
        "--gptoss-lang",
        "language of the Markdown and HTML reports: en (default) or zh",
        "LANG",
        choice(LANGUAGES),
        _FREE,
        default="en",
    ),
    Option(
        "--gptoss-ledger",
        "ledger that the run is added to: a SQLite file or a PostgreSQL URL (extra ledger)",
        "FILE|URL",
        LEDGER,
        _FREE,
    ),
)

_STORED = (
    Option(
        "--gptoss-record",
        "store the baseline's measurements for later runs",
        "FILE",
        OUTPUT_PATH,
        _NO_SERVER,
        needs=Need("gpu", "no baseline to record; add --gpu-url URL", always=True),
    ),
    Option(
        "--gptoss-baseline",
        "use a recorded baseline instead of a GPU server",
        "FILE",
        FILE,
        _NO_SERVER,
        excludes=Exclusion(("embedded", "gpu_url"), "a recorded baseline stands in for the GPU server"),
    ),
    Option("--gptoss-replay", "judge a finished run again, with no server", "DIR", DIRECTORY, _FREE),
)

# The defaults are NeedleTask's, which a test holds: importing it would cost every pytest run.
_NEEDLES = (
    Option(
        "--gptoss-needle",
        "the sentence to find in long texts (default: the guide's)",
        "TEXT",
        TEXT,
        _MEASURED,
        default="The secret code is 7842.",
    ),
    Option(
        "--gptoss-question",
        "the question about it",
        "TEXT",
        TEXT,
        _MEASURED,
        default="What is the secret code?",
    ),
    # The default follows from the needle.
    Option(
        "--gptoss-expect",
        "the expected answer (default: the needle's last number)",
        "TEXT",
        TEXT,
        _MEASURED,
    ),
    Option(
        "--gptoss-needle-grid",
        "document (default, five cells) or full: every depth",
        "KIND",
        choice(("document", "full")),
        _MEASURED,
        default="document",
    ),
    Option(
        "--gptoss-needle-trials",
        "trials of each cell, each a new text and code (default 1)",
        "N",
        whole_number(1),
        _MEASURED,
        default=1,
    ),
    Option(
        "--gptoss-seed",
        "seed of haystacks, codes and arrivals (default 0)",
        "N",
        whole_number(0),
        _MEASURED,
        default=0,
    ),
    Option(
        "--gptoss-max-context-len",
        f"longest context to test, tokens (default {CONTEXT})",
        "N",
        whole_number(1),
        _MEASURED,
        default=CONTEXT,
    ),
)

# Where no default stands, the profile says.
_LOAD = (
    Option(
        "--gptoss-concurrency",
        "load levels: requests in flight (default 1,4,8,16)",
        "LIST",
        LEVELS,
        _MEASURED,
    ),
    Option(
        "--gptoss-rate",
        "open load levels beside the others: requests a second, sent whatever the server does",
        "LIST",
        RATES,
        _MEASURED,
    ),
    Option(
        "--gptoss-arrivals",
        "law of the gaps between arrivals at these rates: poisson (default), constant or gamma:CV",
        "LAW",
        ARRIVALS,
        _MEASURED,
        default=("poisson", 1.0),
    ),
    Option(
        "--gptoss-trace",
        "open load level beside the others: times and lengths of a recorded trace (JSON lines or CSV)",
        "FILE",
        FILE,
        _MEASURED,
    ),
    Option(
        "--gptoss-trace-speed",
        "how many times as fast the trace is played (default 1)",
        "X",
        ABOVE_0,
        _MEASURED,
        default=1.0,
    ),
    Option(
        "--gptoss-duration",
        "time in which requests of open load levels are sent, seconds (default: by the number of requests)",
        "S",
        SECONDS,
        _MEASURED,
    ),
    Option(
        "--gptoss-ramp-up",
        "time in which the load of every level rises from nothing, seconds (default: none)",
        "S",
        SECONDS,
        _MEASURED,
    ),
    Option(
        "--gptoss-slo-ttft",
        "longest TTFT of a request that counts as good, ms",
        "MS",
        MILLISECONDS,
        _MEASURED,
    ),
    Option(
        "--gptoss-slo-tpot",
        "longest TPOT of a request that counts as good, ms",
        "MS",
        MILLISECONDS,
        _MEASURED,
    ),
    Option(
        "--gptoss-slo-share",
        "share of all requests that must be good (default 0.95)",
        "X",
        SHARE,
        _MEASURED,
    ),
    Option(
        "--gptoss-num-requests",
        "requests of every load level (default: by level)",
        "N",
        whole_number(1),
        _MEASURED,
    ),
    Option(
        "--gptoss-max-tokens",
        "output tokens of every request under load (default: by level)",
        "N",
        whole_number(LEAST_OUTPUT),
        _MEASURED,
    ),
    Option(
        "--gptoss-prompt-len",
        "prompt tokens of every request under load (default 1024)",
        "N",
        whole_number(LEAST_PROMPT),
        _MEASURED,
    ),
    Option(
        "--gptoss-bench-endpoint",
        "chat (default) or completions: where load is sent",
        "KIND",
        choice(("chat", "completions")),
        _MEASURED,
        default="chat",
    ),
    Option(
        "--gptoss-trials",
        "repetitions of all load levels (default 1)",
        "N",
        whole_number(1),
        _MEASURED,
        default=1,
    ),
    Option(
        "--gptoss-audit",
        "answers of each load level that the device must confirm when asked alone, or all (default 64)",
        "N",
        whole_number_or_all(1),
        _MEASURED,
        default=64,
    ),
    Option(
        "--gptoss-load-workers",
        "processes that put the load, each with its part of one schedule (default 1: this process)",
        "N",
        whole_number(1, MOST_WORKERS),
        _MEASURED,
    ),
    Option(
        "--gptoss-ray",
        "Ray cluster whose nodes put the load, one worker a node: HOST:PORT, or auto for this node's",
        "ADDRESS",
        CLUSTER,
        _MEASURED,
    ),
    Option(
        "--gptoss-load-gpu",
        "put the GPU under load too, in turn with the NPU",
        None,
        SWITCH,
        _NO_SERVER,
        default=False,
        needs=Need("gpu", "no GPU server to put under load; add --gpu-url URL", live=True, always=True),
    ),
    Option(
        "--gptoss-no-calibration",
        "do not calibrate the instrument before load",
        None,
        SWITCH,
        _MEASURED,
        default=False,
    ),
)

_DIAGNOSIS = (
    Option(
        "--gptoss-npu-log",
        "log of the NPU's server, to diagnose from",
        "[NAME=]FILE",
        FILE,
        _NO_SERVER,
        repeats=True,
        by_name=True,
    ),
    Option(
        "--gptoss-gpu-log",
        "log of the GPU's server, to diagnose from",
        "FILE",
        FILE,
        _NO_SERVER,
        needs=_A_GPU,
    ),
    Option(
        "--gptoss-info",
        "a fact nobody can measure: DEVICE.FACT=VALUE (npu.cann=8.5.1), or FACT=VALUE of the run",
        "KEY=VALUE",
        FACT,
        _FREE,
        repeats=True,
    ),
    Option(
        "--gptoss-signatures",
        "log signatures and symptoms of your own",
        "FILE.toml",
        FILE,
        _FREE,
        repeats=True,
    ),
)

GROUPS: Mapping[str, tuple[Option, ...]] = {
    "devices": _DEVICES,
    "serve": _SERVE,
    "fleet": _FLEET,
    "connection": _CONNECTION,
    "judging": _JUDGING,
    "inputs": _INPUTS,
    "hidden": _HIDDEN,
    "report": _REPORT,
    "stored": _STORED,
    "needle": _NEEDLES,
    "load": _LOAD,
    "diagnosis": _DIAGNOSIS,
}
OPTIONS: tuple[Option, ...] = tuple(option for group in GROUPS.values() for option in group)
OPTION: Mapping[str, Option] = {option.key: option for option in OPTIONS}
"""The table by key."""

"""Report documents for the renderers: recorded runs, and one built to be as hostile as a server can be."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path

import numpy as np

from pytest_gptoss.judge.load import distribution
from pytest_gptoss.report.files import read_document

HERE = Path(__file__).parent / "runs"
RECORDED = ("passing", "failing", "invalid", "waived", "interrupted")

HOSTILE = (
    "<script>alert('it')</script><img src=http://evil.example/x onerror=alert(1)>"
    "\x1b[2J\x1b[31mred\x07 \ud800 \u202egnirts desrever\u202c مرحبا | `code` **bold** "
    "[x](http://evil.example) "
    "{{ 7*7 }} {% for %} ]]> &lt; $x^2$ \x00\ufffe\r\n# head\n- item " + "x" * 100_000
)


def recorded(name):
    """The document of a recorded run, fresh for every caller to change."""
    return copy.deepcopy(read_document(HERE / name))


def level(device, concurrency, scale, *, trial=0):
    """A load level as the document carries it, its distributions made by the product's own function."""
    random = np.random.default_rng(concurrency)
    waits = {
        name: distribution((middle * scale * random.lognormal(0, 0.2, 50)).tolist())
        for name, middle in (
            ("ttft_ms", 80.0), ("first_text_ms", 95.0), ("tpot_ms", 12.0), ("itl_ms", 11.5),
            ("e2e_ms", 3000.0), ("client_delay_ms", 0.4),
        )
    }  # fmt: skip
    return {
        "device": device, "level": f"c{concurrency:02d}", "concurrency": concurrency, "trial": trial,
        "complete": True, "reason": None, "instrument": None, "num_requests": 50, "prompt_tokens": 1024,
        "max_tokens": 256, "endpoint": "chat", "completed": 50, "failed": 0, **waits,
        "throughput_tok_s": 80.0 * concurrency / scale, "qps": 0.4 * concurrency / scale, "rtt_ms": 0.3,
        "client": {"lag_p50_ms": 0.1, "lag_p99_ms": 0.5, "lag_max_ms": 1.0, "cpu_share": 0.25},
        "server": None, "full_concurrency": None, "tokens_per_event": 1.0, "seconds": 12.0,
        "frame_tokens": 60,
    }  # fmt: skip


def open_level(device, rate, *, seed=1, points=200):
    """An open level as the document carries it, with a queue that grows."""
    made = level(device, 4, 1.0)
    random = np.random.default_rng(seed)
    waiting = np.maximum(0, np.linspace(0, 12, points) + random.normal(0, 2, points)).astype(int)
    timeline = {
        "s": np.linspace(0, 60, points).tolist(),
        "in_flight": (waiting + random.poisson(4, points)).tolist(),
        "waiting": waiting.tolist(),
    }
    return {
        **made, "level": f"r{rate:g}", "concurrency": None, "rate": float(rate), "arrivals": "poisson",
        "send_delay_ms": distribution(random.exponential(0.2, 50).tolist(), effective=31.5),
        "slo": {"ttft_ms": 100.0, "tpot_ms": None, "share": 0.95}, "goodput": 0.96, "timeline": timeline,
    }  # fmt: skip


def with_load(document):
    """The document with four load levels of both devices, and the instrument's errors."""
    scales = {"npu": 1.0, "gpu": 0.8}
    levels = [level(device, at, scale) for at in (1, 4, 8, 16) for device, scale in scales.items()]
    error = {
        "requests": 50, "ttft_bias_ms": 0.2, "ttft_p99_ms": 0.9, "tpot_bias_ms": 0.01, "tpot_p99_ms": 0.1,
        "load_held": 1.0,
    }  # fmt: skip
    errors = [{"concurrency": at, **error} for at in (1, 4, 8, 16)]
    document["measurements"]["load"] = {
        "levels": levels, "instrument": {"errors": errors, "problem": None}, "notes": ["c16: a note"],
    }  # fmt: skip
    return document


def with_open_load(document):
    """The document with two open levels of both devices behind its four closed ones."""
    document = with_load(document)
    levels = document["measurements"]["load"]["levels"]
    levels += [open_level(device, rate) for rate in (0.5, 8) for device in ("npu", "gpu")]
    return document


def with_history(document):
    """The document with earlier runs of every contract row: 1, 2, 3 of them and so on."""
    rows = [row for row in document["verdicts"] if row["tier"] == "contract" and row["value"] is not None]
    for count, row in enumerate(rows, start=1):
        row["history"] = [
            {
                "run_id": f"2026010{day}000000-0123abcd",
                "started": f"2026-01-0{day}T00:00:00.000+00:00",
                "value": row["value"] * (1 + day / 100),
            }
            for day in range(1, min(9, count) + 1)
        ]
    return document


def diagnosed(document):
    """The document with a finding in a log, a symptom, and known facts of the servers."""
    document["measurements"]["diagnosis"] = [
        {"kind": "log", "device": "npu", "name": "acl-graph", "file": "npu.log", "line": 17, "times": 3,
         "text": "RuntimeError: EZ9999: capture error", "remedy": "add --enforce-eager", "source": "guide",
         "explains": ["precision.token_match_rate"]},
        {"kind": "answer", "device": "gpu", "name": "engine-dead", "file": None, "line": None, "times": 2,
         "text": "500 (EngineCore encountered an issue.)", "remedy": "start it again", "source": "vLLM",
         "explains": ["precision.kl"]},
        {"kind": "symptom", "device": "npu", "name": "activation-defect", "remedy": "use 0.19.1rc1 or later",
         "source": "", "explains": ["precision.perplexity_diff"]},
    ]  # fmt: skip
    document["measurements"]["preflight"] = [
        {"device": "npu", "ready": True, "facts": [{"name": "dtype", "value": "bfloat16", "source": "log"}]}
    ]
    return document


def hostile(prompts=500):
    """A failing run whose every text came from an enemy, with figures that are none, and many prompts."""
    document = diagnosed(with_load(recorded("failing")))
    measured = document["measurements"]
    forked = next(prompt for prompt in measured["prompts"] if prompt["diff"])
    forked["diff"]["before"][-1] = HOSTILE[:200]
    for side in ("npu", "gpu"):
        forked["diff"][side]["tokens"][0]["text"] = HOSTILE[:200]
        forked["diff"][side]["listed"][0]["text"] = HOSTILE[:200]
    measured["prompts"] = [{**forked, "id": f"p{index}{HOSTILE[:60]}"} for index in range(prompts)]
    for cell in measured["needles"]:
        cell["answers"], cell["reason"] = [HOSTILE], HOSTILE
    measured["notes"] = [HOSTILE] * 3
    measured["diagnosis"][0]["text"] = HOSTILE
    measured["scenarios"][0]["failures"] = [{"item": HOSTILE, "kind": "status", "message": HOSTILE}]
    for row in document["verdicts"]:
        row["reason"], row["line"], row["npu_label"], row["model"] = HOSTILE, HOSTILE, HOSTILE, HOSTILE
    document["verdicts"][0]["verdict"] = "INVALID"
    for row in document["verdicts"][3:5]:
        row["value"] = row["headroom"] = row["ci"] = None
    for device in document["devices"]:
        device["label"] = device["model"] = device["server_version"] = HOSTILE
    document["run"]["waivers"] = {"precision.kl": HOSTILE}
    measured["needles"][0]["first_token_ms"] = math.nan
    measured["load"]["levels"][0]["throughput_tok_s"] = math.inf
    return document


def stored(document, directory):
    """Write a document as a run's report directory, NaN and all, and read it as the command does."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "acceptance.json").write_text(json.dumps(document), "utf-8")
    return read_document(directory)


def _probe(rate, goodput, ttft, **fields):
    whole = {"requests": 100, "failed": 0, "seconds": 60.0, "decided": True, "send_delay_ms": 0.1}
    span = [goodput - 0.01, goodput]
    times = {"ttft_p50_ms": ttft, "ttft_p95_ms": None if ttft is None else 2 * ttft}
    return {"rate": rate, "goodput": goodput, "goodput_interval": span, **times, **whole, **fields}


def with_capacity(document):
    """The document with a row on capacity, whose probes are drawn and tabled."""
    like = document["verdicts"][0]
    details = {
        "slo": {"ttft_ms": 150.0, "tpot_ms": None, "share": 0.95},
        "probes": [_probe(8.0, 1.0, 40.0), _probe(16.0, 0.0, None, failed=100), _probe(12.0, 0.97, 60.0)],
    }
    row = {"threshold_id": "performance.capacity", "family": "performance", "value": 14.0, "unit": "req/s"}
    document["verdicts"].append({**like, **row, "limit": 8.0, "comparison": ">", "details": details})
    return document


def _configuration(device, has, setting=None, gpu="not judged", first="not judged", departs=()):
    source = None if setting is None else "serve line"
    return {"device": device, "has": has, "setting": setting, "source": source, "against_gpu": gpu,
            "against_first": first, "departs": list(departs)}  # fmt: skip


def with_features(document):
    """The document of three configurations: eager, with graphs, and one that did not start."""
    (npu,) = [each for each in document["devices"] if each["role"] == "npu"]
    document["devices"] += [{**npu, "name": "graph"}, {**npu, "name": "tp2"}]
    departs = ["configuration.token_match_rate"]
    document["measurements"]["features"] = [
        {"feature": "aclgraph", "configurations": [
            _configuration("npu", False, "enforce_eager=True", "agrees"),
            _configuration("graph", True, "cudagraph_mode=FULL", "agrees", "departs", departs),
            _configuration("tp2", False, "enforce_eager=True"),
        ]},
        {"feature": "tp", "configurations": [
            _configuration("npu", False, "tensor_parallel_size=1", "agrees"),
            _configuration("graph", False, "tensor_parallel_size=1", "agrees", "departs", departs),
            _configuration("tp2", True, "tensor_parallel_size=2"),
        ]},
        {"feature": "pp", "configurations": [_configuration(each, None) for each in ("npu", "graph", "tp2")]},
    ]  # fmt: skip
    return document

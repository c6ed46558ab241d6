"""Load levels made by hand, on a clock that starts at zero, in milliseconds."""

import dataclasses

from pytest_gptoss.model.inputs import LoadShape
from pytest_gptoss.model.results import Failure, InstrumentError, LoadLevel, Measurement, RequestTiming

MS = 1_000_000
PROMPT = 1024


def request(name, sent, *token_ms, tokens=None, text=None, delay=0, **fields):
    """A request sent at ``sent`` ms whose events with tokens came at ``token_ms``."""
    tokens = tokens or (1,) * len(token_ms)
    usual = {
        "prompt_tokens": PROMPT,
        "completion_tokens": sum(tokens),
        "finish_reason": "length",
        "counted_by": "ids",
    }
    return RequestTiming(
        id=name,
        start_ns=round((sent - delay) * MS),
        sent_ns=round(sent * MS),
        token_ns=tuple(round(each * MS) for each in token_ms),
        tokens=tuple(tokens),
        first_text_ns=None if text is None else round(text * MS),
        end_ns=round((token_ms[-1] if token_ms else sent) * MS),
        **{**usual, **fields},
    )


def steady(count, *, ttft, tpot, tokens=5, concurrency=1):
    """Requests of even pace, one after the other's end in each of ``concurrency`` lanes."""
    lasting = ttft + tpot * (tokens - 1)
    requests = []
    for index in range(count):
        sent = index // concurrency * lasting
        stamps = [sent + ttft + tpot * step for step in range(tokens)]
        requests.append(request(f"r{index}", sent, *stamps))
    return requests


def level(*requests, concurrency=1, asked=None, max_tokens=None, **fields):
    most = max((each.completion_tokens or 0 for each in requests), default=1)
    shape = LoadShape(concurrency, asked or len(requests), PROMPT, max_tokens or most)
    return LoadLevel(dataclasses.replace(shape, **fields.pop("shape", {})), tuple(requests), **fields)


def trial(of, device="npu", **fields):
    return Measurement(f"load-{device}", device, (of,), **fields)


def failed(name, kind="stream", message="the stream broke"):
    return request(name, 0, error=Failure(name, kind, message), completion_tokens=None, prompt_tokens=None)


def instrument(concurrency=1, **errors):
    usual = {"ttft_bias_ms": 0.1, "ttft_p99_ms": 0.4, "tpot_bias_ms": 0.01, "tpot_p99_ms": 0.05}
    return InstrumentError(concurrency, 50, load_held=1.0, **{**usual, **errors})

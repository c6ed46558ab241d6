"""Servers as preflight sees them, made by hand."""

import dataclasses

from made import failure, measurement

from pytest_gptoss.model.subjects import ServerFacts

SERVER = ServerFacts(
    run="r1", addresses=("10.0.0.1:8000",), waited_s=2.0, listed=("gpt-oss-20b",), model="gpt-oss-20b",
    version="0.18.0rc1", max_model_len=131072, clock_ahead_s=0.2, harmony_date="2026-01-01",
)  # fmt: skip


def facts(device="npu", **changes):
    return measurement(device, [dataclasses.replace(SERVER, **changes)])


def unready(device="npu"):
    return measurement(
        device, [], failures=(failure("*", "connect", f"{device}: nobody there"),), complete=False
    )

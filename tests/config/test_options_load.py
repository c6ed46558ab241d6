"""How load is measured."""

import sys

import pytest

from pytest_gptoss.client.load.ray_workers import connect
from pytest_gptoss.model.arrivals import Arrivals, TraceFile
from pytest_gptoss.model.errors import UsageError
from pytest_gptoss.model.inputs import LoadShape, LoadTask


def test_load_is_the_profiles_unless_given(settings_of):
    assert settings_of(npu_url="http://n").load == LoadTask()
    given = settings_of(npu_url="http://n", gpu_url="http://g", concurrency="16, 1", num_requests="40",
        max_tokens="64", prompt_len="512", bench_endpoint="completions", trials="3", load_gpu="1",
        no_calibration="1", audit="12", load_workers="4",
    )  # fmt: skip
    assert given.load == LoadTask(
        (1, 16), 40, 64, 512, "completions", 3, gpu=True, calibrate=False, audit=12, workers=4
    )


def test_all_answers_may_be_audited(settings_of):
    assert settings_of(npu_url="http://n").load.audit == 64
    assert settings_of(npu_url="http://n", audit="all").load.audit is None


def test_rates_add_open_levels(settings_of):
    load = settings_of(npu_url="http://n", rate="8, 0.5", arrivals="gamma:2.5", seed="7", duration="60",
        ramp_up="10", slo_ttft="500", slo_tpot="50", slo_share="0.9",
    ).load  # fmt: skip
    assert (load.concurrency, load.rates, load.law, load.cv, load.seed) == (None, (0.5, 8.0), "gamma", 2.5, 7)
    assert (load.duration_s, load.ramp_up_s) == (60, 10)
    assert (load.slo_ttft_ms, load.slo_tpot_ms, load.slo_share) == (500, 50, 0.9)
    assert settings_of(npu_url="http://n", rate="8").load == LoadTask(rates=(8.0,))
    constant = settings_of(npu_url="http://n", rate="8", arrivals="constant").load
    assert constant == LoadTask(rates=(8.0,), law="constant")


def test_a_trace_is_a_level_as_large_as_it_is_used(settings_of, tmp_path):
    text = "time,prompt_tokens,output_tokens\n0,20,300\n10,400,50\n20,30,5\n90,9999,1\n"
    tmp_path.joinpath("trace.csv").write_text(text)
    given = {"npu_url": "http://n", "trace": "trace.csv", "bench_endpoint": "completions"}
    trace = settings_of(**given, trace_speed="2", duration="30").load.trace
    sha256 = trace.arrivals.trace.sha256
    assert trace == LoadShape(
        1, 3, 400, 300, "completions", duration_s=30, longest=450,
        arrivals=Arrivals(0.2, "trace", trace=TraceFile(str(tmp_path / "trace.csv"), sha256, 2.0)),
    )  # fmt: skip
    assert settings_of(**given, num_requests="2").load.trace.requests == 2
    assert settings_of(**given).load.trace.prompt_tokens == 9999


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"rate": "0"},
            "--gptoss-rate is '0': it takes requests a second, above 0 and below 100000, with commas",
        ),
        ({"rate": "-1"}, "--gptoss-rate is '-1'"),
        ({"rate": "nan"}, "--gptoss-rate is 'nan'"),
        ({"rate": "1,0.0"}, "--gptoss-rate is '1,0.0'"),
        ({"rate": "fast"}, "--gptoss-rate is 'fast'"),
        ({"rate": "0.00000001"}, "--gptoss-rate is '0.00000001'"),
        ({"rate": "8,8.0"}, "--gptoss-rate is '8,8.0': name each rate once"),
        (
            {"rate": "8", "arrivals": "gamma:0"},
            "--gptoss-arrivals is 'gamma:0': it takes poisson, constant or gamma:CV",
        ),
        ({"rate": "8", "arrivals": "gamma:-1"}, "--gptoss-arrivals is 'gamma:-1'"),
        ({"rate": "8", "arrivals": "gamma:nan"}, "--gptoss-arrivals is 'gamma:nan'"),
        ({"rate": "8", "arrivals": "gamma"}, "--gptoss-arrivals is 'gamma'"),
        ({"rate": "8", "arrivals": "uniform"}, "--gptoss-arrivals is 'uniform'"),
        ({"arrivals": "constant"}, "--gptoss-arrivals: there is no rate in this run; add --gptoss-rate LIST"),
        (
            {"trace_speed": "2"},
            "--gptoss-trace-speed: there is no trace in this run; add --gptoss-trace FILE",
        ),
        ({"trace": "nowhere.csv"}, "--gptoss-trace is 'nowhere.csv': no such file"),
        ({"trace": "."}, "--gptoss-trace is '.': no such file"),
        ({"rate": "8", "duration": "0"}, "--gptoss-duration is '0': it takes a number of seconds above 0"),
        ({"ramp_up": "-1"}, "--gptoss-ramp-up is '-1'"),
        ({"slo_ttft": "0"}, "--gptoss-slo-ttft is '0': it takes a number of milliseconds above 0"),
        ({"slo_tpot": "inf"}, "--gptoss-slo-tpot is 'inf'"),
        ({"slo_share": "0"}, "--gptoss-slo-share is '0': it takes a share above 0 and up to 1"),
        ({"slo_share": "95"}, "--gptoss-slo-share is '95'"),
        ({"concurrency": "1;4"}, "--gptoss-concurrency is '1;4': it takes whole numbers"),
        ({"concurrency": "1,,4"}, "with commas between them"),
        ({"concurrency": "0,4"}, "from 1 to 9999"),
        ({"concurrency": "4,4"}, "name each level once"),
        ({"num_requests": "none"}, "--gptoss-num-requests is 'none': it takes a whole number from 1 on"),
        ({"max_tokens": "1"}, "--gptoss-max-tokens is '1': it takes a whole number from 2 on"),
        ({"prompt_len": "100"}, "--gptoss-prompt-len is '100': it takes a whole number from 160 on"),
        (
            {"bench_endpoint": "responses"},
            "--gptoss-bench-endpoint is 'responses': it takes chat or completions",
        ),
        ({"trials": "0"}, "--gptoss-trials is '0'"),
        ({"audit": "0"}, "--gptoss-audit is '0': it takes a whole number from 1 on, or the word all"),
        ({"load_workers": "0"}, "--gptoss-load-workers is '0': it takes a whole number from 1 to 256"),
        ({"ray": "http://head"}, "--gptoss-ray is 'http://head': it takes HOST:PORT"),
        ({"load_workers": "many"}, "--gptoss-load-workers is 'many'"),
        ({"audit": "some"}, "--gptoss-audit is 'some'"),
        ({"load_gpu": "1"}, "--gptoss-load-gpu: no GPU server to put under load; add --gpu-url URL"),
    ],
)
def test_a_load_that_cannot_be_is_refused(settings_of, given, message):
    with pytest.raises(UsageError, match=message.replace("(", r"\(")):
        settings_of(npu_url="http://n", **given)


def test_a_trace_needs_token_ids(settings_of, tmp_path):
    tmp_path.joinpath("trace.csv").write_text("time,prompt_tokens,output_tokens\n0,20,30\n")
    with pytest.raises(
        UsageError,
        match=r"--gptoss-trace .*trace.csv: .* only token ids give exactly: add "
        "--gptoss-bench-endpoint completions",
    ):
        settings_of(npu_url="http://n", trace="trace.csv")


def test_a_trace_speed_is_above_0(settings_of, tmp_path):
    tmp_path.joinpath("trace.csv").write_text("time,prompt_tokens,output_tokens\n0,20,30\n")
    with pytest.raises(UsageError, match="--gptoss-trace-speed is '0': it takes a number above 0"):
        settings_of(npu_url="http://n", trace="trace.csv", trace_speed="0")


def test_a_ray_cluster_is_an_address_or_the_word(settings_of):
    assert settings_of(npu_url="http://n").load.ray is None
    assert settings_of(npu_url="http://n", ray="auto").load.ray == "auto"
    assert settings_of(npu_url="http://n", ray="head:6379").load.ray == "head:6379"


def test_a_cluster_without_ray_names_the_extra(settings_of, monkeypatch):
    """When the run begins: a machine that only reads options needs no Ray."""
    monkeypatch.setitem(sys.modules, "ray", None)
    address = settings_of(npu_url="http://n", ray="auto").load.ray
    with pytest.raises(UsageError, match=r"--gptoss-ray auto: .*pip install 'pytest-gptoss\[ray\]'"):
        connect(address)

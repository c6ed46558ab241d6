"""How load is measured."""

import pytest

from pytest_gptoss.model.errors import UsageError
from pytest_gptoss.model.inputs import LoadTask


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


@pytest.mark.parametrize(
    ("given", "message"),
    [
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
        ({"load_workers": "many"}, "--gptoss-load-workers is 'many'"),
        ({"audit": "some"}, "--gptoss-audit is 'some'"),
        ({"load_gpu": "1"}, "--gptoss-load-gpu: no GPU server to put under load; add --gpu-url URL"),
    ],
)
def test_a_load_that_cannot_be_is_refused(settings_of, given, message):
    with pytest.raises(UsageError, match=message.replace("(", r"\(")):
        settings_of(npu_url="http://n", **given)

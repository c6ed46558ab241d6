"""Whether compared devices are two servers, from facts written down by hand."""

import pytest
from made_servers import facts, unready

from pytest_gptoss.judge.metrics.preflight_distinct import distinct
from pytest_gptoss.model.errors import ConditionAbsent, InsufficientData


def test_one_server_is_found_out_by_any_shared_address():
    two = distinct(npu=facts(), gpu=facts("gpu", addresses=("10.0.0.2:8000",)))
    assert two.value == 0
    one = distinct(npu=facts(), gpu=facts("gpu", addresses=("10.0.0.1:8000", "10.0.0.9:8000")))
    assert one.value == 1
    assert "are one server, 10.0.0.1:8000" in one.details["finding"]


def test_a_recorded_baseline_may_have_lived_at_the_same_address():
    with pytest.raises(ConditionAbsent, match="recorded in another run"):
        distinct(npu=facts(), gpu=facts("gpu", run="r0"))


def test_every_pair_that_is_compared_is_looked_at():
    here, elsewhere = facts(), {"addresses": ("10.0.0.2:8000",)}
    gpu = facts("gpu", **elsewhere)
    first = distinct(npu=here, gpu=gpu, first=facts("tp1"))
    assert (first.value, first.n) == (1, 2)
    assert first.details["finding"] == "npu and tp1 are one server, 10.0.0.1:8000: correct --npu-url"
    reference = distinct(npu=here, gpu=gpu, cpu=facts("cpu", **elsewhere))
    assert reference.value == 1
    assert reference.details["finding"].endswith(
        "gpu and cpu are one server, 10.0.0.2:8000: correct --gpu-url or --cpu-url"
    )
    # The device under test is never compared with the CPU alone.
    assert distinct(npu=here, gpu=gpu, cpu=facts("cpu")).value == 0


def test_a_device_that_does_not_answer_hides_no_other_pair():
    one = distinct(npu=facts(), gpu=unready("gpu"), first=facts("tp1"))
    assert (one.value, one.n) == (1, 1)
    with pytest.raises(InsufficientData, match="nothing that npu is compared with answers"):
        distinct(npu=facts(), gpu=unready("gpu"))


@pytest.mark.parametrize(
    ("ours", "theirs", "one"),
    [
        ({"host": "npu.corp"}, {"host": "npu.corp"}, True),
        ({"host": "npu.corp"}, {"host": None}, True),
        ({"host": "npu.corp"}, {"host": "gpu.corp"}, False),
        ({"host": "npu.corp", "started_s": 7.25}, {"host": "gpu.corp", "started_s": 7.25}, True),
        ({"host": "npu.corp", "started_s": 7.25}, {"host": "gpu.corp", "started_s": 9.5}, False),
        ({"host": "npu.corp", "started_s": 7.25}, {"host": "gpu.corp"}, False),
    ],
)
def test_two_names_at_one_address_may_be_two_servers(ours, theirs, one):
    estimate = distinct(npu=facts(**ours), gpu=facts("gpu", **theirs))
    assert estimate.value == one
    assert ("note" in estimate.details) != one


BY_NAME = {"model": "gpt-oss-gpu"}


@pytest.mark.parametrize(
    ("ours", "theirs", "kind"),
    [
        ("a", "b", "note"),
        ("a", "a", "finding"),
        ("a", None, "unclear"),
        (None, "b", "unclear"),
        (None, None, "unclear"),
    ],
)
def test_two_names_of_a_model_at_one_address_are_told_apart_by_what_answers(ours, theirs, kind):
    npu, gpu = facts(answers_sha256=ours), facts("gpu", answers_sha256=theirs, **BY_NAME)
    if kind == "unclear":
        with pytest.raises(InsufficientData, match=r"the address of each server itself.*--gptoss-waive"):
            distinct(npu=npu, gpu=gpu)
        return
    estimate = distinct(npu=npu, gpu=gpu)
    assert estimate.value == (kind == "finding")
    assert "as the models gpt-oss-20b and gpt-oss-gpu" in estimate.details[kind]


def test_two_configurations_may_compute_the_same_digits():
    tp1, tp8 = facts("tp1", answers_sha256="a"), facts("tp8", answers_sha256="a", **BY_NAME)
    with pytest.raises(InsufficientData, match="compute the same log-probabilities"):
        distinct(npu=tp8, first=tp1)
    other = facts("tp8", answers_sha256="b", **BY_NAME)
    assert distinct(npu=other, first=tp1).value == 0


def test_a_pair_that_is_one_server_is_told_before_one_that_is_unclear():
    gpu = facts("gpu", **BY_NAME)
    assert distinct(npu=facts(), gpu=gpu, first=facts("tp1")).value == 1


@pytest.mark.parametrize(
    ("starts", "digits", "one"),
    [((7.25, 7.25), "aa", True), ((7.25, 7.25), "ab", False), ((7.25, 9.5), "aa", False),
     ((None, None), "aa", False)],
)  # fmt: skip
def test_one_server_at_two_addresses(starts, digits, one):
    npu = facts(started_s=starts[0], answers_sha256=digits[0])
    gpu = facts("gpu", started_s=starts[1], answers_sha256=digits[1], addresses=("10.0.0.2:8000",))
    estimate = distinct(npu=npu, gpu=gpu)
    assert estimate.value == one
    assert ("at two addresses" in estimate.details.get("finding", "")) == one

"""Preflight figures from facts written down by hand."""

import dataclasses

import pytest
from made import answer, failure, measurement

from pytest_gptoss.judge.metrics import preflight
from pytest_gptoss.judge.registry import metric_named
from pytest_gptoss.judge.thresholds import load_profile
from pytest_gptoss.model.errors import ConditionAbsent, InsufficientData
from pytest_gptoss.model.subjects import KnownFact, ServerFacts

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


def test_ready_and_model():
    assert preflight.ready(npu=facts()).value == 1
    assert preflight.model(npu=facts()).details["model"] == "gpt-oss-20b"
    with pytest.raises(InsufficientData, match="nobody there"):
        preflight.ready(npu=unready())
    lost = facts(model=None, problem="npu: model 'x' is not served; served: gpt-oss-20b")
    assert preflight.ready(npu=lost).value == 1
    with pytest.raises(InsufficientData, match="'x' is not served"):
        preflight.model(npu=lost)
    with pytest.raises(InsufficientData, match="'x' is not served"):
        preflight.baseline(gpu=lost)


def test_one_server_is_found_out_by_any_shared_address():
    two = preflight.distinct(npu=facts(), gpu=facts("gpu", addresses=("10.0.0.2:8000",)))
    assert two.value == 0
    one = preflight.distinct(npu=facts(), gpu=facts("gpu", addresses=("10.0.0.1:8000", "10.0.0.9:8000")))
    assert one.value == 1
    assert "are one server, 10.0.0.1:8000" in one.details["finding"]


def test_a_recorded_baseline_may_have_lived_at_the_same_address():
    with pytest.raises(ConditionAbsent, match="recorded in another run"):
        preflight.distinct(npu=facts(), gpu=facts("gpu", run="r0"))


def test_every_pair_that_is_compared_is_looked_at():
    here, elsewhere = facts(), {"addresses": ("10.0.0.2:8000",)}
    gpu = facts("gpu", **elsewhere)
    first = preflight.distinct(npu=here, gpu=gpu, first=facts("tp1"))
    assert (first.value, first.n) == (1, 2)
    assert first.details["finding"] == "npu and tp1 are one server, 10.0.0.1:8000: correct --npu-url"
    reference = preflight.distinct(npu=here, gpu=gpu, cpu=facts("cpu", **elsewhere))
    assert reference.value == 1
    assert reference.details["finding"].endswith(
        "gpu and cpu are one server, 10.0.0.2:8000: correct --gpu-url or --cpu-url"
    )
    # The device under test is never compared with the CPU alone.
    assert preflight.distinct(npu=here, gpu=gpu, cpu=facts("cpu")).value == 0


def test_a_device_that_does_not_answer_hides_no_other_pair():
    one = preflight.distinct(npu=facts(), gpu=unready("gpu"), first=facts("tp1"))
    assert (one.value, one.n) == (1, 1)
    with pytest.raises(InsufficientData, match="nothing that npu is compared with answers"):
        preflight.distinct(npu=facts(), gpu=unready("gpu"))


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
    estimate = preflight.distinct(npu=facts(**ours), gpu=facts("gpu", **theirs))
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
            preflight.distinct(npu=npu, gpu=gpu)
        return
    estimate = preflight.distinct(npu=npu, gpu=gpu)
    assert estimate.value == (kind == "finding")
    assert "as the models gpt-oss-20b and gpt-oss-gpu" in estimate.details[kind]


def test_two_configurations_may_compute_the_same_digits():
    tp1, tp8 = facts("tp1", answers_sha256="a"), facts("tp8", answers_sha256="a", **BY_NAME)
    with pytest.raises(InsufficientData, match="compute the same log-probabilities"):
        preflight.distinct(npu=tp8, first=tp1)
    other = facts("tp8", answers_sha256="b", **BY_NAME)
    assert preflight.distinct(npu=other, first=tp1).value == 0


def test_a_pair_that_is_one_server_is_told_before_one_that_is_unclear():
    gpu = facts("gpu", **BY_NAME)
    assert preflight.distinct(npu=facts(), gpu=gpu, first=facts("tp1")).value == 1


@pytest.mark.parametrize(
    ("starts", "digits", "one"),
    [((7.25, 7.25), "aa", True), ((7.25, 7.25), "ab", False), ((7.25, 9.5), "aa", False),
     ((None, None), "aa", False)],
)  # fmt: skip
def test_one_server_at_two_addresses(starts, digits, one):
    npu = facts(started_s=starts[0], answers_sha256=digits[0])
    gpu = facts("gpu", started_s=starts[1], answers_sha256=digits[1], addresses=("10.0.0.2:8000",))
    estimate = preflight.distinct(npu=npu, gpu=gpu)
    assert estimate.value == one
    assert ("at two addresses" in estimate.details.get("finding", "")) == one


@pytest.mark.parametrize(("needed", "short"), [(0, 0), (131072, 0), (131073, 1), (140000, 8928)])
def test_the_context_falls_short_by_tokens(needed, short):
    estimate = preflight.context(npu=facts(), context_needed=needed)
    assert estimate.value == short
    assert bool(short) == ("finding" in estimate.details)
    if short:
        assert f"--max-model-len {needed}" in estimate.details["finding"]


def test_a_context_nobody_tells_is_no_figure():
    with pytest.raises(InsufficientData, match="max_model_len"):
        preflight.context(npu=facts(max_model_len=None), context_needed=1)


def test_versions_known_and_unknown():
    estimate = preflight.versions(npu=facts(), stated={"npu": {"cann": "8.5.1"}})
    assert (estimate.value, estimate.n) == (0, 2)
    assert estimate.details["unknown"] == ["vllm_ascend", "torch", "torch_npu"]
    assert "--gptoss-info npu.vllm_ascend=0.18.0" in estimate.details["note"]


def test_an_old_version_is_named_with_its_source():
    old = facts(known=(KnownFact("torch_npu", "2.8.0.post1", "npu.log:7"),))
    estimate = preflight.versions(npu=old, stated={})
    assert estimate.value == 1
    assert "torch_npu 2.8.0.post1 < 2.9.0 (npu.log:7)" in estimate.details["finding"]


def test_no_version_at_all_is_no_verdict():
    with pytest.raises(ConditionAbsent, match=r"npu\.vllm=0\.18\.0"):
        preflight.versions(npu=facts(version="something else"), stated={})


def required_versions(server, **stated):
    compute = metric_named(load_profile("atlas-800-a2").thresholds["preflight.versions"].metric).compute
    return compute(npu=server, stated={"npu": stated})


@pytest.mark.parametrize(
    ("version", "stated", "missing"),
    [
        ("0.18.0", {}, ["vllm_ascend", "cann"]),
        ("0.18.0", {"vllm_ascend": "0.18.0"}, ["cann"]),
        ("0.18.0", {"vllm_ascend": "0.18.0", "torch_npu": "2.9.0"}, ["cann"]),
        (None, {"vllm_ascend": "0.18.0", "cann": "8.5.1"}, ["vllm"]),
        ("a proxy", {}, ["vllm", "vllm_ascend", "cann"]),
    ],
)
def test_on_a_device_an_unknown_version_is_no_verdict(version, stated, missing):
    with pytest.raises(InsufficientData) as error:
        required_versions(facts(version=version), **stated)
    assert not isinstance(error.value, ConditionAbsent)
    options = [f"--gptoss-info npu.{name}=" for name in missing]
    assert [each for each in options if each in str(error.value)] == options
    assert str(error.value).count("--gptoss-info") == len(options)


def test_on_a_device_what_is_stated_or_told_is_enough_and_an_old_version_is_a_breach():
    estimate = required_versions(facts(), vllm_ascend="0.18.0rc1", cann="8.5.1")
    assert (estimate.value, estimate.n) == (0, 3)
    old = required_versions(facts(), cann="8.5.0")
    assert old.value == 1
    assert "cann 8.5.0 < 8.5.1" in old.details["finding"]


def test_clocks():
    apart = preflight.clock(npu=facts(clock_ahead_s=-30.0), gpu=facts("gpu", clock_ahead_s=90.0))
    assert apart.value == 120
    assert "120 s apart" in apart.details["finding"]
    assert "finding" not in preflight.clock(npu=facts(), gpu=facts("gpu")).details
    with pytest.raises(ConditionAbsent, match="gpu sends no Date header"):
        preflight.clock(npu=facts(), gpu=facts("gpu", clock_ahead_s=None))


def test_dates_in_the_prompts():
    same = preflight.harmony_date(npu=facts(), gpu=facts("gpu"))
    assert same.value == 0
    other = preflight.harmony_date(npu=facts(), gpu=facts("gpu", harmony_date="2025-12-30"))
    assert other.value == 2
    assert "VLLM_SYSTEM_START_DATE" in other.details["finding"]
    with pytest.raises(ConditionAbsent, match=r"inputs\.identical"):
        preflight.harmony_date(npu=facts(harmony_date=None), gpu=facts("gpu"))
    with pytest.raises(InsufficientData, match="'2026-13-01'"):
        preflight.harmony_date(npu=facts(harmony_date="2026-13-01"), gpu=facts("gpu"))


def smoke(hi, paris):
    return measurement("npu", [hi, paris])


@pytest.mark.parametrize(
    ("content", "reasoning", "named"),
    [
        ("It is Paris.", "", 1),
        ("", "They mean PARIS", 1),
        ("法国的首都是巴黎。", "", 1),
        ("Rome", "hm", 0),
        ("", "", 0),
    ],
)
def test_the_smoke_questions(content, reasoning, named):
    hi = answer("say-hi", (1, 2, 3), reasoning="cut short")
    estimate = preflight.names_paris(
        npu=smoke(hi, answer("capital-france", content=content, reasoning=reasoning))
    )
    assert estimate.value == named
    assert preflight.says_hi(npu=smoke(hi, answer("capital-france"))).value == 3
    assert preflight.says_hi(npu=smoke(answer("say-hi", ()), answer("capital-france"))).value == 0


@pytest.mark.parametrize("complete", [True, False])
def test_a_smoke_question_that_failed_is_no_figure_and_spoils_not_the_other(complete):
    lost = failure("capital-france")
    asked = measurement("npu", [answer("say-hi", (1, 2))], failures=(lost,), complete=complete)
    assert preflight.says_hi(npu=asked).value == 2
    with pytest.raises(InsufficientData, match="first capital-france: timeout"):
        preflight.names_paris(npu=asked)
    with pytest.raises(InsufficientData, match="nobody there"):
        preflight.says_hi(npu=unready())

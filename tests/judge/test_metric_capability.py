"""Features judged from answers written down by hand."""

import dataclasses

import pytest
from made import answer, measurement
from made_harmony import RETURN, harmony, message

from pytest_gptoss.judge.metrics.bf16 import bf16
from pytest_gptoss.judge.metrics.effort import effort
from pytest_gptoss.judge.metrics.finish_reasons import finish_reasons
from pytest_gptoss.judge.metrics.mxfp4 import mxfp4
from pytest_gptoss.judge.metrics.no_mixing import no_mixing
from pytest_gptoss.judge.metrics.reasoning import reasoning
from pytest_gptoss.judge.metrics.streaming import streaming
from pytest_gptoss.judge.metrics.survival import survival
from pytest_gptoss.model.errors import InsufficientData
from pytest_gptoss.model.results import BadRequest
from pytest_gptoss.model.subjects import KnownFact, ServerFacts


def told(*known, stated=None):
    server = ServerFacts("r", (), 0.0, ("m",), model="m", max_model_len=131072, known=known)
    return {"npu": measurement("npu", [server]), "stated": stated or {}}


@pytest.mark.parametrize(
    ("value", "right"),
    [("torch.bfloat16", 1), ("bf16", 1), ("BFloat16", 1), ("torch.float16", 0), ("auto", 0)],
)
def test_bf16(value, right):
    estimate = bf16(**told(KnownFact("dtype", value, "npu.log:3")))
    assert estimate.value == right
    assert bool(right) != ("npu.log:3" in estimate.details.get("finding", ""))


@pytest.mark.parametrize(("value", "used"), [("None", 0), ("none", 0), ("mxfp4", 1), ("gpt_oss_MXFP4", 1)])
def test_mxfp4(value, used):
    assert mxfp4(**told(stated={"npu": {"quantization": value}})).value == used


@pytest.mark.parametrize(("metric", "fact"), [(bf16, "dtype"), (mxfp4, "quantization")])
def test_what_nobody_tells_is_invalid_and_says_how_to_supply_it(metric, fact):
    with pytest.raises(InsufficientData) as error:
        metric(**told(stated={"gpu": {fact: "x"}}))
    for way in ("--gptoss-npu-log npu=FILE", f"--gptoss-info npu.{fact}=", "VLLM_SERVER_DEV_MODE=1"):
        assert way in str(error.value)


def test_reasoning_stands_apart():
    apart = answer("a", None, reasoning="We think.", content="Paris.")
    none = answer("b", None, content="We think. Paris.")
    repeated = answer("c", None, reasoning="We think.", content="We think. Paris.")
    cut = dataclasses.replace(answer("d", None, reasoning="We", content=""), finish_reason="length")
    assert reasoning(npu=measurement("npu", [apart, cut])).value == 1
    estimate = reasoning(npu=measurement("npu", [apart, none, repeated]))
    assert estimate.value == pytest.approx(1 / 3)
    assert "--reasoning-parser openai_gptoss" in estimate.details["finding"]
    with pytest.raises(InsufficientData, match="allow more tokens"):
        reasoning(npu=measurement("npu", [cut]))


def test_an_answer_without_analysis_has_nothing_to_set_apart():
    straight = answer("a", (*message("final", "Paris."), RETURN), content="Paris.")
    thought = harmony("We think.", "Paris.")
    apart = answer("b", thought, reasoning="We think.", content="Paris.")
    mixed = answer("c", thought, content="We think. Paris.")
    assert reasoning(npu=measurement("npu", [straight, apart])).value == 1
    assert reasoning(npu=measurement("npu", [straight, apart, mixed])).value == 0.5
    with pytest.raises(InsufficientData, match="none of 1 answers has an analysis channel"):
        reasoning(npu=measurement("npu", [straight]))


def test_effort_is_said_when_it_does_not_shorten():
    short, long = answer("a", (1,)), answer("a", (1, 2, 3, 4))
    estimate = effort(low=measurement("npu", [short]), high=measurement("npu", [long]))
    assert estimate.value == 0.25
    assert "finding" not in estimate.details
    same = effort(low=measurement("npu", [long]), high=measurement("npu", [long]))
    assert "not shorter" in same.details["finding"]


def test_streaming_against_whole():
    def whole(once, again):
        return measurement("npu", [once, dataclasses.replace(again, prompt_id="a again")])

    said = answer("a", (1, 2), content="hi")
    streamed = measurement("npu", [said])
    assert streaming(streamed=streamed, whole=whole(said, said)).value == 1
    other = answer("a", (1, 3), content="hi")
    estimate = streaming(streamed=streamed, whole=whole(other, other))
    assert estimate.value == 0
    assert "tokens part at position 1" in estimate.details["finding"]
    shorter = answer("a", (1, 2), content="h")
    assert "content is" in streaming(streamed=streamed, whole=whole(shorter, shorter)).details["finding"]
    with pytest.raises(InsufficientData, match="twice alike"):
        streaming(streamed=streamed, whole=whole(said, other))


def test_finish_reasons():
    cut = measurement("npu", [dataclasses.replace(answer("a", (1,)), finish_reason="length")])
    ended = answer("a", (1, 200002))
    finished = measurement("npu", [ended])
    assert finish_reasons(finished=finished, cut=cut).value == 1
    wrong = measurement("npu", [dataclasses.replace(ended, finish_reason="length")])
    assert finish_reasons(finished=wrong, cut=cut).value == 0.5
    with pytest.raises(InsufficientData, match="withholds token ids"):
        finish_reasons(finished=measurement("npu", [answer("a", None)]), cut=cut)
    with pytest.raises(InsufficientData, match="allow more tokens"):
        finish_reasons(finished=measurement("npu", [answer("a", (1, 2))]), cut=cut)


def test_mixed_answers():
    def said(*contents):
        return measurement(
            "npu", [answer(tag, content=text) for tag, text in zip(TAGS, contents, strict=True)]
        )

    TAGS = ("1111", "2222", "3333", "4444")  # noqa: N806
    assert no_mixing(npu=said("it is 1111", "2222", "3333", "none")).value == 0
    estimate = no_mixing(npu=said("2222", "1111", "3333", "4444"))
    assert estimate.value == 2
    assert "names 2222" in estimate.details["finding"]
    with pytest.raises(InsufficientData, match="only 1 of 4"):
        no_mixing(npu=said("1111", "", "", ""))
    # A mix-up that shows is one, however few answers name anything.
    assert no_mixing(npu=said("2222", "", "", "")).value == 1


def bad(name, status=400, *, alive=True):
    return BadRequest(name, status, "refused", alive, "" if alive else "connection refused")


def test_bad_requests_are_survived():
    good = bad("nothing-wrong", None)
    assert survival(npu=measurement("npu", [good, bad("a"), bad("b")])).value == 0
    rude = survival(npu=measurement("npu", [good, bad("a", 500), bad("b", None)]))
    assert rude.value == 0
    assert "a, b" in rude.details["note"]
    dead = survival(npu=measurement("npu", [good, bad("a", alive=False), bad("b", None, alive=False)]))
    assert dead.value == 2
    assert "after a bad one, a: connection refused" in dead.details["finding"]
    with pytest.raises(InsufficientData, match="does not answer a good request"):
        survival(npu=measurement("npu", [bad("nothing-wrong", None, alive=False), bad("a")]))

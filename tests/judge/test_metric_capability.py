"""Features judged from answers written down by hand."""

import dataclasses

import pytest
from made import answer, failure, measurement
from made_harmony import RETURN, harmony, message

from pytest_gptoss.judge.metrics import capability
from pytest_gptoss.model.errors import ConditionAbsent, InsufficientData
from pytest_gptoss.model.results import AbortTrace, BadRequest, ToolCall
from pytest_gptoss.model.subjects import KnownFact, ServerFacts

SCHEMAS = {
    "get_weather": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
}


def told(*known, stated=None):
    server = ServerFacts("r", (), 0.0, ("m",), model="m", max_model_len=131072, known=known)
    return {"npu": measurement("npu", [server]), "stated": stated or {}}


@pytest.mark.parametrize(
    ("value", "right"),
    [("torch.bfloat16", 1), ("bf16", 1), ("BFloat16", 1), ("torch.float16", 0), ("auto", 0)],
)
def test_bf16(value, right):
    estimate = capability.bf16(**told(KnownFact("dtype", value, "npu.log:3")))
    assert estimate.value == right
    assert bool(right) != ("npu.log:3" in estimate.details.get("finding", ""))


@pytest.mark.parametrize(("value", "used"), [("None", 0), ("none", 0), ("mxfp4", 1), ("gpt_oss_MXFP4", 1)])
def test_mxfp4(value, used):
    assert capability.mxfp4(**told(stated={"npu": {"quantization": value}})).value == used


@pytest.mark.parametrize(("metric", "fact"), [(capability.bf16, "dtype"), (capability.mxfp4, "quantization")])
def test_what_nobody_tells_is_invalid_and_says_how_to_supply_it(metric, fact):
    with pytest.raises(InsufficientData) as error:
        metric(**told(stated={"gpu": {fact: "x"}}))
    for way in ("--gptoss-npu-log npu=FILE", f"--gptoss-info npu.{fact}=", "VLLM_SERVER_DEV_MODE=1"):
        assert way in str(error.value)


def call(form, city="Paris", *, name="get_weather", arguments=None, finish="tool_calls", calls=1):
    made = ToolCall(name, arguments if arguments is not None else f'{{"city": "{city}"}}')
    return dataclasses.replace(
        answer(f"Paris-{form}", content="", tool_calls=(made,) * calls), finish_reason=finish
    )


def calls(*items, again=None, **fields):
    """The calls of one question; whole once more it is answered as before, unless told otherwise."""
    whole = next((each for each in items if each.prompt_id.endswith("-whole")), None)
    if whole is not None:
        items = (*items, dataclasses.replace(again or whole, prompt_id=f"{whole.prompt_id} again"))
    return measurement("npu", items, provenance={"schemas": SCHEMAS}, **fields)


def test_the_same_right_call_both_ways():
    spaced = call("whole", arguments='{ "city":"Paris" }')
    assert capability.tools(npu=calls(call("streamed"), spaced), choice="auto").value == 1


@pytest.mark.parametrize(
    ("streamed", "whole", "words"),
    [
        ({"calls": 0}, {}, "0 calls instead of one"),
        ({}, {"calls": 2}, "2 calls instead of one"),
        ({"name": "get_wether"}, {}, "'get_wether'"),
        ({"arguments": '{"city": "Par'}, {}, "no JSON"),
        ({"arguments": '{"town": "Paris"}'}, {}, "lack 'city'"),
        ({"arguments": '{"city": 7}'}, {}, "is no string"),
        ({}, {"city": "Paris, France"}, "streamed it calls"),
        ({"city": ""}, {"city": ""}, "asked for Paris, it calls with"),
        ({"city": "Rome"}, {"city": "Rome"}, "asked for Paris, it calls with"),
        ({"finish": "stop"}, {}, "finish_reason is 'stop'"),
    ],
)
def test_a_wrong_call_is_named(streamed, whole, words):
    estimate = capability.tools(
        npu=calls(call("streamed", **streamed), call("whole", **whole)), choice="required"
    )
    assert estimate.value == 0
    assert words in estimate.details["finding"]


def test_a_call_that_is_not_repeated_is_no_evidence():
    chance = calls(call("streamed", city="Paris, France"), call("whole"), again=call("whole", calls=0))
    with pytest.raises(InsufficientData, match="calls no tool twice alike"):
        capability.tools(npu=chance, choice="auto")
    # Wrong each time it is asked is wrong, however it varies.
    wrong = calls(call("streamed"), call("whole", calls=0), again=call("whole", city="Rome"))
    assert capability.tools(npu=wrong, choice="auto").value == 0


def test_a_named_call_may_end_with_stop():
    both = [call("streamed", finish="stop"), call("whole", finish="stop")]
    assert capability.tools(npu=calls(*both), choice="named").value == 1


def test_a_server_without_parser_is_told_its_flags():
    message = '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set'
    with pytest.raises(InsufficientData, match="add --enable-auto-tool-choice --tool-call-parser openai"):
        capability.tools(npu=calls(failures=(failure("Paris-streamed", "status", message),)), choice="auto")


def test_a_call_that_stands_in_the_tokens_alone_is_an_unparsed_one():
    # As vLLM 0.32 answers without a parser: no tool_calls, finish_reason stop, the ids end in the call token.
    unparsed = [answer(f"Paris-{form}", (5, 200012)) for form in ("streamed", "whole")]
    with pytest.raises(InsufficientData, match="takes no call out of it: add --enable-auto-tool"):
        capability.tools(npu=calls(*unparsed), choice="auto")
    assert capability.tools(npu=calls(unparsed[0], call("whole")), choice="auto").value == 0


def test_reasoning_stands_apart():
    apart = answer("a", None, reasoning="We think.", content="Paris.")
    none = answer("b", None, content="We think. Paris.")
    repeated = answer("c", None, reasoning="We think.", content="We think. Paris.")
    cut = dataclasses.replace(answer("d", None, reasoning="We", content=""), finish_reason="length")
    assert capability.reasoning(npu=measurement("npu", [apart, cut])).value == 1
    estimate = capability.reasoning(npu=measurement("npu", [apart, none, repeated]))
    assert estimate.value == pytest.approx(1 / 3)
    assert "--reasoning-parser openai_gptoss" in estimate.details["finding"]
    with pytest.raises(InsufficientData, match="allow more tokens"):
        capability.reasoning(npu=measurement("npu", [cut]))


def test_an_answer_without_analysis_has_nothing_to_set_apart():
    straight = answer("a", (*message("final", "Paris."), RETURN), content="Paris.")
    thought = harmony("We think.", "Paris.")
    apart = answer("b", thought, reasoning="We think.", content="Paris.")
    mixed = answer("c", thought, content="We think. Paris.")
    assert capability.reasoning(npu=measurement("npu", [straight, apart])).value == 1
    assert capability.reasoning(npu=measurement("npu", [straight, apart, mixed])).value == 0.5
    with pytest.raises(InsufficientData, match="none of 1 answers has an analysis channel"):
        capability.reasoning(npu=measurement("npu", [straight]))


def test_effort_is_said_when_it_does_not_shorten():
    short, long = answer("a", (1,)), answer("a", (1, 2, 3, 4))
    estimate = capability.effort(low=measurement("npu", [short]), high=measurement("npu", [long]))
    assert estimate.value == 0.25
    assert "finding" not in estimate.details
    same = capability.effort(low=measurement("npu", [long]), high=measurement("npu", [long]))
    assert "not shorter" in same.details["finding"]


def test_streaming_against_whole():
    def whole(once, again):
        return measurement("npu", [once, dataclasses.replace(again, prompt_id="a again")])

    said = answer("a", (1, 2), content="hi")
    streamed = measurement("npu", [said])
    assert capability.streaming(streamed=streamed, whole=whole(said, said)).value == 1
    other = answer("a", (1, 3), content="hi")
    estimate = capability.streaming(streamed=streamed, whole=whole(other, other))
    assert estimate.value == 0
    assert "tokens part at position 1" in estimate.details["finding"]
    shorter = answer("a", (1, 2), content="h")
    assert (
        "content is"
        in capability.streaming(streamed=streamed, whole=whole(shorter, shorter)).details["finding"]
    )
    with pytest.raises(InsufficientData, match="twice alike"):
        capability.streaming(streamed=streamed, whole=whole(said, other))


def test_finish_reasons():
    cut = measurement("npu", [dataclasses.replace(answer("a", (1,)), finish_reason="length")])
    ended = answer("a", (1, 200002))
    finished = measurement("npu", [ended])
    assert capability.finish_reasons(finished=finished, cut=cut).value == 1
    wrong = measurement("npu", [dataclasses.replace(ended, finish_reason="length")])
    assert capability.finish_reasons(finished=wrong, cut=cut).value == 0.5
    with pytest.raises(InsufficientData, match="withholds token ids"):
        capability.finish_reasons(finished=measurement("npu", [answer("a", None)]), cut=cut)
    with pytest.raises(InsufficientData, match="allow more tokens"):
        capability.finish_reasons(finished=measurement("npu", [answer("a", (1, 2))]), cut=cut)


def test_mixed_answers():
    def said(*contents):
        return measurement(
            "npu", [answer(tag, content=text) for tag, text in zip(TAGS, contents, strict=True)]
        )

    TAGS = ("1111", "2222", "3333", "4444")  # noqa: N806
    assert capability.no_mixing(npu=said("it is 1111", "2222", "3333", "none")).value == 0
    estimate = capability.no_mixing(npu=said("2222", "1111", "3333", "4444"))
    assert estimate.value == 2
    assert "names 2222" in estimate.details["finding"]
    with pytest.raises(InsufficientData, match="only 1 of 4"):
        capability.no_mixing(npu=said("1111", "", "", ""))
    # A mix-up that shows is one, however few answers name anything.
    assert capability.no_mixing(npu=said("2222", "", "", "")).value == 1


def trace(before=0, during=1, after=((0.1, 0),), natural_s=30.0):
    return measurement("npu", [AbortTrace(before, during, tuple(after), natural_s)])


def test_an_aborted_request_frees_its_slot():
    freed = capability.abort_frees(npu=trace(before=2, during=3, after=((0.1, 3), (0.2, 2))))
    assert (freed.value, freed.details["freed_s"]) == (0, 0.2)
    kept = capability.abort_frees(npu=trace(after=((0.1, 1), (10.0, 1))))
    assert kept.value == 1
    assert "still counts 1 running requests 10 s after" in kept.details["finding"]


def test_an_abort_that_proves_nothing_is_none():
    with pytest.raises(InsufficientData, match="did not raise"):
        capability.abort_frees(npu=trace(before=3, during=3))
    with pytest.raises(InsufficientData, match=r"by itself 1\.0 s later"):
        capability.abort_frees(npu=trace(after=((2.0, 0),), natural_s=1.0))
    with pytest.raises(ConditionAbsent, match="/metrics"):
        capability.abort_frees(npu=measurement("npu", [], left_out={"abort": "npu has no /metrics"}))


def test_tokens_that_the_server_counted_prove_an_early_end():
    # By its pace the request would have ended at once: the count of tokens says that it had not.
    early = AbortTrace(0, 1, ((0.1, 0),), natural_s=0.0, room=4096, generated=300)
    estimate = capability.abort_frees(npu=measurement("npu", [early]))
    assert (estimate.value, estimate.details["generated"]) == (0, 300)
    whole = AbortTrace(0, 1, ((0.1, 0),), natural_s=30.0, room=4096, generated=4096, trials=5)
    with pytest.raises(InsufficientData, match=r"generated 4096 tokens .* proves nothing, 5 times"):
        capability.abort_frees(npu=measurement("npu", [whole]))


@pytest.mark.parametrize(
    ("during", "after"),
    [(2, ((0.1, 2), (10.0, 1))), (1, ((0.1, 0), (0.2, 1), (10.0, 1))), (1, ((0.1, 2), (10.0, 2)))],
)
def test_a_count_that_moves_without_us_condemns_nobody(during, after):
    with pytest.raises(InsufficientData, match="moves without us"):
        capability.abort_frees(npu=trace(during=during, after=after))


def bad(name, status=400, *, alive=True):
    return BadRequest(name, status, "refused", alive, "" if alive else "connection refused")


def test_bad_requests_are_survived():
    good = bad("nothing-wrong", None)
    assert capability.survival(npu=measurement("npu", [good, bad("a"), bad("b")])).value == 0
    rude = capability.survival(npu=measurement("npu", [good, bad("a", 500), bad("b", None)]))
    assert rude.value == 0
    assert "a, b" in rude.details["note"]
    dead = capability.survival(
        npu=measurement("npu", [good, bad("a", alive=False), bad("b", None, alive=False)])
    )
    assert dead.value == 2
    assert "after a bad one, a: connection refused" in dead.details["finding"]
    with pytest.raises(InsufficientData, match="does not answer a good request"):
        capability.survival(npu=measurement("npu", [bad("nothing-wrong", None, alive=False), bad("a")]))

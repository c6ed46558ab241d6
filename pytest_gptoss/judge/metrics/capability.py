"""The features of the acceptance guide's table, as far as they show over HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

from pytest_gptoss.judge.answer_text import PARSER_AT_FAULT, answer_text
from pytest_gptoss.judge.beside_call import calls_by_ids, fault_beside_call
from pytest_gptoss.judge.codes import names_code
from pytest_gptoss.judge.evidence import first_difference, probed, sound_items
from pytest_gptoss.judge.facts import FactBook, Stated
from pytest_gptoss.judge.json_schema import violations
from pytest_gptoss.judge.metric import Needs, metric
from pytest_gptoss.judge.metrics.tool_parser import PARSER_FLAGS, not_enforced, refuse_without_parser
from pytest_gptoss.judge.roles import Roles
from pytest_gptoss.model.errors import ConditionAbsent, InsufficientData
from pytest_gptoss.model.gptoss import CALL, RETURN
from pytest_gptoss.model.harmony import harmony_messages
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.results import AGAIN, AbortTrace, BadRequest, Generation, Measurement, ToolCall
from pytest_gptoss.model.subjects import ServerFacts
from pytest_gptoss.model.verdicts import Estimate
from pytest_gptoss.scenarios.kinds import Feature, FeatureName, Greedy, Preflight, Scenario

__all__ = [
    "PARSER_FLAGS",
    "abort_frees",
    "bf16",
    "context",
    "effort",
    "finish_reasons",
    "mxfp4",
    "no_mixing",
    "reasoning",
    "streaming",
    "survival",
    "tools",
]

_BF16 = ("bfloat16", "bf16")
_SAME_IDS = ", from the same token ids: the server's parser makes the difference, not the device"
_ENDINGS = (RETURN, CALL)


def _npu_facts(roles: Roles) -> Mapping[str, Scenario]:
    return {"npu": Preflight(roles.npu)}


def _feature(name: FeatureName) -> Needs:
    return lambda roles: {"npu": Feature(roles.npu, name)}


def _questions(key: str, **others: FeatureName) -> Needs:
    """The short questions as chat answers them, streamed, and the same in other ways."""
    return lambda roles: {
        key: Greedy(roles.npu, "features"),
        **{name: Feature(roles.npu, feature) for name, feature in others.items()},
    }


@metric(
    "bf16",
    needs=_npu_facts,
    statistics=("count",),
    context=("stated",),
)
def bf16(*, npu: Measurement[ServerFacts], stated: Stated) -> Estimate:
    """1 when the server computes in BF16. Raises InsufficientData when nobody tells its dtype."""
    book, value, source = _told(npu, stated, "dtype", example="bfloat16")
    right = value.lower().removeprefix("torch.") in _BF16
    details: dict[str, Json] = {"dtype": value, "source": source}
    if not right:
        details["finding"] = f"{book.device} computes in {value} ({source}): serve with --dtype bfloat16"
    return Estimate(float(right), "servers", 1, details=details)


@metric(
    "mxfp4",
    needs=_npu_facts,
    statistics=("count",),
    context=("stated",),
)
def mxfp4(*, npu: Measurement[ServerFacts], stated: Stated) -> Estimate:
    """1 when the server uses MXFP4 weights, which Ascend does not support.

    Raises InsufficientData when nobody tells its quantization.
    """
    book, value, source = _told(npu, stated, "quantization", example="none")
    used = "mxfp4" in value.lower()
    details: dict[str, Json] = {"quantization": value, "source": source}
    if used:
        details["finding"] = (
            f"{book.device} uses {value} weights ({source}): serve a BF16 checkpoint; "
            "--dtype bfloat16 alone does not take MXFP4 out of one"
        )
    return Estimate(float(used), "servers", 1, details=details)


@metric(
    "context",
    needs=_npu_facts,
    statistics=("length",),
)
def context(*, npu: Measurement[ServerFacts]) -> Estimate:
    """The longest context served, in tokens. Raises InsufficientData when the server does not tell it."""
    facts = sound_items(npu, "servers")[0]
    if facts.max_model_len is None:
        raise InsufficientData(facts.problem or f"{npu.device}: /v1/models tells no max_model_len")
    return Estimate(float(facts.max_model_len), "tokens", 1)


@metric(
    "tools_auto",
    needs=_feature("tools-auto"),
    statistics=("rate",),
    arguments={"choice": "auto"},
)
@metric(
    "tools_required",
    needs=_feature("tools-required"),
    statistics=("rate",),
    arguments={"choice": "required"},
)
@metric(
    "tools_named",
    needs=_feature("tools-named"),
    statistics=("rate",),
    arguments={"choice": "named"},
)
def tools(*, npu: Measurement[Generation], choice: str) -> Estimate:
    """Share of questions answered with one right call, streamed and whole alike.

    Right: the tool is one of the ``schemas`` in the measurement's provenance (name -> JSON Schema of its
    parameters), the arguments are JSON that keeps its schema and name what was asked for (the question's
    id), both forms hold the same call, and what stands beside it belongs there (``fault_beside_call``);
    with the same token ids both forms hold the same content and reasoning too. A question whose
    call the server does not repeat when it is asked for whole twice is no evidence and left out
    (``unrepeatable``). Raises InsufficientData for a server without tool parser, and when none is left.
    """
    refuse_without_parser(npu)
    answers = {item.prompt_id: item for item in sound_items(npu, "questions")}
    schemas: Mapping[str, Json] = npu.provenance["schemas"]
    rows: list[dict[str, Json]] = []
    unrepeatable: list[str] = []
    for streamed_id in [each for each in answers if each.endswith("-streamed")]:
        question = streamed_id.removesuffix("-streamed")
        once, again = answers[f"{question}-whole"], answers[f"{question}-whole{AGAIN}"]
        faults_of = partial(_fault_of_answer, question=question, schemas=schemas, choice=choice)
        if _read_calls(once) != _read_calls(again) and not (faults_of(once) and faults_of(again)):
            unrepeatable.append(question)
            continue
        forms = {"streamed": answers[streamed_id], "whole": once}
        rows.append({"question": question, "fault": _fault(forms, faults_of), **_calls(forms)})
    if not rows:
        raise InsufficientData(
            f"{npu.device} calls no tool twice alike ({', '.join(unrepeatable)}), so a wrong call cannot be "
            "told from chance: see its noise floor"
        )
    faults = [row for row in rows if row["fault"]]
    details: dict[str, Json] = {"questions": rows, "unrepeatable": unrepeatable}
    left_to_the_model = not_enforced(npu, choice)
    if left_to_the_model:
        details["note"] = f"{npu.device}: {left_to_the_model}"
    if faults:
        details["finding"] = (
            f"{npu.device}: {len(faults)} of {len(rows)} {choice} tool calls are wrong, first "
            f"{faults[0]['question']}: {faults[0]['fault']}"
        ) + (f"; {left_to_the_model}" if left_to_the_model else "")
    return Estimate((len(rows) - len(faults)) / len(rows), "share", len(rows), details=details)


@metric(
    "reasoning",
    needs=_questions("npu"),
    statistics=("rate",),
    info=("effort",),
)
def reasoning(*, npu: Measurement[Generation]) -> Estimate:
    """Share of finished answers whose reasoning stands in its own field, apart from the content.

    Where token ids are told, both fields must be what these say: text that departs from them is the
    parser's fault. An answer whose token ids show no analysis channel has nothing to set apart and is left
    out, unless its text departs. Raises InsufficientData when no answer came to its end, or none of those
    reasons.
    """
    ended = [each for each in sound_items(npu, "questions") if each.finish_reason == "stop"]
    if not ended:
        raise InsufficientData(f"{npu.device}: no answer came to its end: allow more tokens")
    departures = {each.prompt_id: said for each in ended if (said := answer_text(each).departure)}
    finished = [
        each
        for each in ended
        if each.token_ids is None or _reasons(each.token_ids) or each.prompt_id in departures
    ]
    if not finished:
        raise InsufficientData(
            f"{npu.device}: none of {len(ended)} answers has an analysis channel in its tokens, so whether "
            "reasoning is set apart cannot be seen: GPT-OSS reasons unless it is told not to; see precision "
            "and the server's default reasoning effort"
        )
    apart = [
        each
        for each in finished
        if each.prompt_id not in departures
        and each.reasoning
        and each.content
        and each.reasoning not in each.content
    ]
    details: dict[str, Json] = {
        "answers": [
            {"id": each.prompt_id, "reasoning": each.reasoning, "content": each.content} for each in finished
        ]
    }
    if len(apart) < len(finished):
        first = next(each for each in finished if each not in apart)
        analysis = answer_text(first).analysis
        poured = bool(analysis) and not first.reasoning and analysis in first.content
        departure = None if poured else departures.get(first.prompt_id)
        why = (
            f"reasoning {first.reasoning[:40]!r}, content {first.content[:40]!r}: serve with {PARSER_FLAGS}"
            if departure is None
            else f"its text departs from its token ids: {departure}: {PARSER_AT_FAULT}"
        )
        details["finding"] = (
            f"{npu.device}: {len(finished) - len(apart)} of {len(finished)} answers do not hold their "
            f"reasoning apart, first {first.prompt_id}: {why}"
        )
    return Estimate(len(apart) / len(finished), "share", len(finished), details=details)


@metric(
    "effort",
    needs=lambda roles: {"low": Feature(roles.npu, "effort-low"), "high": Feature(roles.npu, "effort-high")},
)
def effort(*, low: Measurement[Generation], high: Measurement[Generation]) -> Estimate:
    """Mean length of answers at low effort over that at high effort, in tokens. Never judged."""
    short, long = (
        sum(each.completion_tokens for each in sound_items(side, "questions")) for side in (low, high)
    )
    n = len(low.items)
    details: dict[str, Json] = {"low_tokens": short / n, "high_tokens": long / n}
    if short >= long:
        details["finding"] = (
            f"{low.device}: reasoning effort low is not shorter than high "
            f"({short / n:.0f} and {long / n:.0f} tokens)"
        )
    return Estimate(short / long if long else 1.0, "ratio", n, details=details)


@metric(
    "streaming",
    needs=_questions("streamed", whole="whole"),
    statistics=("rate",),
)
def streaming(*, streamed: Measurement[Generation], whole: Measurement[Generation]) -> Estimate:
    """Share of answers that are the same streamed and whole: token ids, reasoning, content, ending.

    An answer that the server does not repeat when it is asked for whole twice is no evidence and left
    out (``unrepeatable``). Raises InsufficientData when none is left.
    """
    wholes = {item.prompt_id: item for item in sound_items(whole, "questions")}
    unrepeatable: list[str] = []
    differing: list[tuple[str, str]] = []
    compared = 0
    for item in sound_items(streamed, "questions"):
        once, again = wholes[item.prompt_id], wholes[f"{item.prompt_id}{AGAIN}"]
        if _difference(once, again):
            unrepeatable.append(item.prompt_id)
            continue
        compared += 1
        difference = _difference(item, once)
        if difference:
            differing.append((item.prompt_id, difference))
    if not compared:
        raise InsufficientData(
            f"{whole.device} answers no question twice alike, so streaming cannot be told from chance: "
            "see its noise floor"
        )
    details: dict[str, Json] = {"unrepeatable": unrepeatable, "differing": dict(differing)}
    if differing:
        details["finding"] = (
            f"{whole.device}: {len(differing)} of {compared} answers differ streamed and whole, first "
            f"{differing[0][0]}: {differing[0][1]}"
        )
    return Estimate((compared - len(differing)) / compared, "share", compared, details=details)


@metric(
    "finish_reasons",
    needs=_questions("finished", cut="cut"),
    statistics=("rate",),
)
def finish_reasons(*, finished: Measurement[Generation], cut: Measurement[Generation]) -> Estimate:
    """Share of answers that end for the reason they tell: ``length`` where cut, ``stop`` behind a stop token.

    Raises InsufficientData when token ids are withheld or no answer of one of the kinds came.
    """
    rows = [("length", answer) for answer in sound_items(cut, "questions")]
    for answer in sound_items(finished, "questions"):
        if answer.token_ids is None:
            why = probed(finished, "token_ids", "serve with a vLLM that knows return_token_ids")
            raise InsufficientData(
                f"{finished.device} withholds token ids, so how an answer ended cannot be seen: {why}"
            )
        if answer.token_ids and answer.token_ids[-1] in _ENDINGS:
            rows.append(("stop", answer))
    if {expected for expected, _ in rows} != {"length", "stop"}:
        raise InsufficientData(f"{finished.device}: no answer came to its end: allow more tokens")
    wrong = [(expected, answer) for expected, answer in rows if answer.finish_reason != expected]
    details: dict[str, Json] = {}
    if wrong:
        expected, answer = wrong[0]
        details["finding"] = (
            f"{finished.device}: {len(wrong)} of {len(rows)} answers tell another end than theirs, first "
            f"{answer.prompt_id}: {answer.finish_reason!r} for {expected!r}"
        )
    return Estimate((len(rows) - len(wrong)) / len(rows), "share", len(rows), details=details)


@metric(
    "no_mixing",
    needs=_feature("tags"),
    statistics=("count",),
)
def no_mixing(*, npu: Measurement[Generation]) -> Estimate:
    """Count of answers that name the tag of another request, among those that name any.

    Raises InsufficientData when fewer than half name their own: then a mix-up would not show.
    """
    answers = sound_items(npu, "requests")
    tags = [answer.prompt_id for answer in answers]
    texts = {answer.prompt_id: answer_text(answer).text for answer in answers}
    own = [answer for answer in answers if names_code(texts[answer.prompt_id], answer.prompt_id)]
    mixed = [
        (answer, tag)
        for answer in answers
        for tag in tags
        if tag != answer.prompt_id and names_code(texts[answer.prompt_id], tag)
    ]
    if len(own) * 2 < len(answers) and not mixed:
        said = next(answer for answer in answers if answer not in own).content
        raise InsufficientData(
            f"{npu.device}: only {len(own)} of {len(answers)} answers name the code they were given, "
            f"a mix-up would not show; one says {said[:60]!r}"
        )
    details: dict[str, Json] = {
        "own": len(own),
        "mixed": [
            {"request": answer.prompt_id, "named": tag, "content": answer.content} for answer, tag in mixed
        ],
    }
    if mixed:
        answer, tag = mixed[0]
        details["finding"] = (
            f"{npu.device} mixes requests that run at once: the answer to {answer.prompt_id} names {tag}, "
            f"another request's code: {answer.content[:60]!r}"
        )
    return Estimate(
        float(len({answer.prompt_id for answer, _ in mixed})), "answers", len(answers), details=details
    )


@metric(
    "abort_frees",
    needs=_feature("abort"),
    statistics=("count",),
)
def abort_frees(*, npu: Measurement[AbortTrace]) -> Estimate:
    """Requests still counted as running after their client left, beyond those before it came.

    Details: ``freed_s``, seconds until the count was back. Raises ConditionAbsent without the count, and
    InsufficientData when the request never showed in it or would have ended by itself, or when the count
    stays up and has also moved without us.
    """
    if not npu.items and not npu.failures and npu.left_out:
        raise ConditionAbsent(next(iter(npu.left_out.values())))
    trace = sound_items(npu, "requests")[0]
    freed_s, running = trace.after[-1]
    if trace.says_nothing is not None:
        times = f", {trace.trials} times" if trace.trials > 1 else ""
        raise InsufficientData(f"{npu.device}: {_nothing_said(trace)}{times}")
    details: dict[str, Json] = {
        "before": trace.before, "during": trace.during, "freed_s": None if trace.left else freed_s,
        "natural_s": trace.natural_s, "room": trace.room, "generated": trace.generated,
        "trials": trace.trials,
    }  # fmt: skip
    if trace.left:
        details["finding"] = (
            f"{npu.device} still counts {running} running requests {freed_s:.0f} s after the client left "
            f"({trace.before} before it came): abandoned requests keep their slots"
        )
    return Estimate(float(trace.left), "requests", 1, details=details)


def _nothing_said(trace: AbortTrace) -> str:
    freed_s = trace.after[-1][0]
    if trace.says_nothing == "unseen":
        return (
            f"a request in flight did not raise vllm:num_requests_running above {trace.before}: "
            + (f"/metrics said meanwhile: {trace.said}: " if trace.said else "")
            + "does a router or another server answer there, or a copy that is seldom renewed? give the "
            "vLLM server's own address; or others use it: try while they do not"
        )
    if trace.says_nothing == "others":
        return (
            f"vllm:num_requests_running moves without us (before {trace.before}, during {trace.during}, "
            f"after at most {max(count for _, count in trace.after)}): others use this server, "
            "try while they do not"
        )
    if trace.room is not None and trace.generated is not None:
        return (
            f"the slot was free {freed_s:.1f} s after the client left, but the server generated "
            f"{trace.generated} tokens meanwhile and {trace.room} were asked for: the request may have ended "
            "by itself, that proves nothing"
        )
    return (
        f"the aborted request would have ended by itself {trace.natural_s:.1f} s later, "
        f"the slot was free after {freed_s:.1f} s: that proves nothing"
    )


@metric(
    "survival",
    needs=_feature("bad-requests"),
    statistics=("count",),
)
def survival(*, npu: Measurement[BadRequest]) -> Estimate:
    """Count of bad requests after which the server did not answer a good one.

    Raises InsufficientData when it did not answer before the first of them.
    """
    first, *others = sound_items(npu, "requests")
    if not first.alive:
        raise InsufficientData(f"{npu.device} does not answer a good request: {first.trouble}")
    deadly = [each for each in others if not each.alive]
    details: dict[str, Json] = {
        "requests": [{"name": each.name, "status": each.status, "alive": each.alive} for each in others]
    }
    blamed = [each.name for each in others if each.status is None or each.status >= 500]
    if blamed and not deadly:
        details["note"] = (
            f"{npu.device} survives, but does not refuse in words: {', '.join(blamed)} (no answer, or a 5xx)"
        )
    if deadly:
        details["finding"] = (
            f"{npu.device} answers no good request after a bad one, {deadly[0].name}: {deadly[0].trouble}"
        )
    return Estimate(float(len(deadly)), "requests", len(others), details=details)


def _reasons(token_ids: Sequence[int]) -> bool:
    return any(each.channel == "analysis" for each in harmony_messages(token_ids))


def _told(
    npu: Measurement[ServerFacts], stated: Stated, name: str, *, example: str
) -> tuple[FactBook, str, str]:
    book = FactBook.of(npu.device, sound_items(npu, "servers")[0], stated)
    fact = book.get(name)
    if fact is None:
        raise InsufficientData(
            f"{npu.device}: its {name} is not known: name its log with --gptoss-npu-log {npu.device}=FILE, "
            f"or state it with --gptoss-info {npu.device}.{name}={example}, "
            "or start it with VLLM_SERVER_DEV_MODE=1"
        )
    return book, fact.value, fact.source


def _fault(forms: Mapping[str, Generation], fault_of: Callable[[Generation], str | None]) -> str | None:
    """The first thing that is wrong with the answers to one question; None when all is right."""
    for form, answer in forms.items():
        wrong = fault_of(answer)
        if wrong is not None:
            return f"{form}: {wrong}"
    streamed, whole = forms.values()
    ours, theirs = _read_calls(streamed)[0], _read_calls(whole)[0]
    if ours != theirs:
        return f"streamed it calls {ours}, whole {theirs}"
    # Other token ids may be chance: only texts of the same ones must be the same.
    same = streamed.token_ids is not None and streamed.token_ids == whole.token_ids
    difference = _difference(streamed, whole) if same else None
    return None if difference is None else f"streamed and whole {difference}"


def _fault_of_answer(
    answer: Generation, *, question: str, schemas: Mapping[str, Json], choice: str
) -> str | None:
    if len(answer.tool_calls) != 1:
        said = answer.content or answer.reasoning
        wrong: str | None = f"{len(answer.tool_calls)} calls instead of one; it says {said[:60]!r}"
    else:
        wrong = next(_faults_of_call(answer.tool_calls[0], question, schemas), None)
    if wrong is None:
        return fault_beside_call(answer, answer.tool_calls[0], choice=choice)
    meant = calls_by_ids(answer)
    if len(meant) == 1 and next(_faults_of_call(meant[0], question, schemas), None) is None:
        wrong += ", while its token ids hold the right call: the server's tool parser is at fault"
    return wrong


def _faults_of_call(call: ToolCall, question: str, schemas: Mapping[str, Json]) -> Iterator[str]:
    if call.name not in schemas:
        yield f"it calls {call.name!r}, and the tools are {', '.join(schemas)}"
        return
    arguments = _read_json(call.arguments)
    if arguments is None:
        yield f"the arguments are no JSON: {call.arguments[:60]!r}"
        return
    yield from violations(arguments, schemas[call.name])
    if question.casefold() not in json.dumps(arguments, ensure_ascii=False).casefold():
        yield f"asked for {question}, it calls with {call.arguments[:60]}"


def _read_calls(answer: Generation) -> list[tuple[str, Json]]:
    """Names and arguments; however the JSON is spaced, and as text where it is none."""
    return [(call.name, _read_json(call.arguments) or call.arguments) for call in answer.tool_calls]


def _read_json(text: str) -> Json:
    """The value of a JSON text; None where it is none, or says null."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _calls(forms: Mapping[str, Generation]) -> dict[str, Json]:
    return {
        form: [{"name": call.name, "arguments": call.arguments} for call in answer.tool_calls]
        for form, answer in forms.items()
    }


def _difference(left: Generation, right: Generation) -> str | None:
    """Where two answers part; None when they are the same."""
    for name in ("reasoning", "content", "finish_reason"):
        if getattr(left, name) != getattr(right, name):
            same = "" if left.token_ids is None or left.token_ids != right.token_ids else _SAME_IDS
            return f"{name} is {_shown(getattr(left, name))} and {_shown(getattr(right, name))}{same}"
    ours, theirs = left.token_ids, right.token_ids
    if ours is not None and theirs is not None and ours != theirs:
        return f"tokens part at position {first_difference(ours, theirs)}"
    return None


def _shown(value: str | Sequence[int] | None) -> str:
    return repr(value[:40]) if isinstance(value, str) else repr(value)

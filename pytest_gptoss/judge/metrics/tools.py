"""Tool calls: one right call to a question, streamed and whole alike."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial

from pytest_gptoss.judge.answer_difference import answer_difference
from pytest_gptoss.judge.beside_call import calls_by_ids, fault_beside_call
from pytest_gptoss.judge.evidence import sound_items
from pytest_gptoss.judge.json_schema import violations
from pytest_gptoss.judge.metric import metric
from pytest_gptoss.judge.needs import feature
from pytest_gptoss.judge.tool_parser import not_enforced, refuse_without_parser
from pytest_gptoss.model.errors import InsufficientData
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.message import joined, say
from pytest_gptoss.model.results import AGAIN, Generation, Measurement, ToolCall
from pytest_gptoss.model.verdicts import Estimate

__all__ = ["tools"]


@metric(
    "tools_auto",
    needs=feature("tools-auto"),
    statistics=("rate",),
    arguments={"choice": "auto"},
)
@metric(
    "tools_required",
    needs=feature("tools-required"),
    statistics=("rate",),
    arguments={"choice": "required"},
)
@metric(
    "tools_named",
    needs=feature("tools-named"),
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
            say(
                "{device} calls no tool twice alike ({unrepeatable}), so a wrong call cannot be "
                "told from chance: see its noise floor",
                device=npu.device,
                unrepeatable=", ".join(unrepeatable),
            )
        )
    faults = [row for row in rows if row["fault"]]
    details: dict[str, Json] = {"questions": rows, "unrepeatable": unrepeatable}
    left_to_the_model = not_enforced(npu, choice)
    if left_to_the_model:
        details["note"] = say("{device}: {finding}", device=npu.device, finding=left_to_the_model)
    if faults:
        wrong = say(
            "{device}: {faults} of {rows} {choice} tool calls are wrong, first {question}: {fault}",
            device=npu.device,
            faults=len(faults),
            rows=len(rows),
            choice=choice,
            question=faults[0]["question"],
            fault=faults[0]["fault"],
        )
        details["finding"] = joined([wrong, left_to_the_model] if left_to_the_model else [wrong])
    return Estimate((len(rows) - len(faults)) / len(rows), "share", len(rows), details=details)


def _fault(forms: Mapping[str, Generation], fault_of: Callable[[Generation], str | None]) -> str | None:
    """The first thing that is wrong with the answers to one question; None when all is right."""
    for form, answer in forms.items():
        wrong = fault_of(answer)
        if wrong is not None:
            return say("{where}: {error}", where=form, error=wrong)
    streamed, whole = forms.values()
    ours, theirs = _read_calls(streamed)[0], _read_calls(whole)[0]
    if ours != theirs:
        return say("streamed it calls {ours}, whole {theirs}", ours=ours, theirs=theirs)
    # Other token ids may be chance: only texts of the same ones must be the same.
    same = streamed.token_ids is not None and streamed.token_ids == whole.token_ids
    difference = answer_difference(streamed, whole) if same else None
    return None if difference is None else say("streamed and whole {difference}", difference=difference)


def _fault_of_answer(
    answer: Generation, *, question: str, schemas: Mapping[str, Json], choice: str
) -> str | None:
    if len(answer.tool_calls) != 1:
        said = answer.content or answer.reasoning
        wrong: str | None = say(
            "{calls} calls instead of one; it says {said}",
            calls=len(answer.tool_calls),
            said=repr(said[:60]),
        )
    else:
        wrong = next(_faults_of_call(answer.tool_calls[0], question, schemas), None)
    if wrong is None:
        return fault_beside_call(answer, answer.tool_calls[0], choice=choice)
    meant = calls_by_ids(answer)
    if len(meant) == 1 and next(_faults_of_call(meant[0], question, schemas), None) is None:
        return say(
            "{wrong}, while its token ids hold the right call: the server's tool parser is at fault",
            wrong=wrong,
        )
    return wrong


def _faults_of_call(call: ToolCall, question: str, schemas: Mapping[str, Json]) -> Iterator[str]:
    if call.name not in schemas:
        yield say(
            "it calls {name}, and the tools are {schemas}", name=repr(call.name), schemas=", ".join(schemas)
        )
        return
    arguments = _read_json(call.arguments)
    if arguments is None:
        yield say("the arguments are no JSON: {arguments}", arguments=repr(call.arguments[:60]))
        return
    yield from violations(arguments, schemas[call.name])
    if question.casefold() not in json.dumps(arguments, ensure_ascii=False).casefold():
        yield say(
            "asked for {question}, it calls with {arguments}",
            question=question,
            arguments=call.arguments[:60],
        )


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

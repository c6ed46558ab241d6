"""Chat requests as harmony prompts, turn by turn as vLLM 0.32 renders them.

A leading system or developer message becomes the instructions of the one developer message, beside the
tools; later ones stand where they are. Reasoning of earlier turns is dropped once an answer followed it.
The rendering itself is openai-harmony's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from pytest_gptoss.model.json_type import Json
from pytest_gptoss.reference.api_errors import ApiError, bad_request, bad_value, invalid
from pytest_gptoss.reference.fields import Fields
from pytest_gptoss.reference.tokens import encoding

__all__ = ["EFFORTS", "check_effort", "conversation_date", "day_before", "render"]

EFFORTS = ("high", "medium", "low")

_INSTRUCTING = ("system", "developer")


def conversation_date(environ: Mapping[str, str]) -> str:
    """The date in the system message: VLLM_SYSTEM_START_DATE where it is set, else today's."""
    return environ.get("VLLM_SYSTEM_START_DATE") or date.today().isoformat()


def day_before(day: str) -> str:
    """The day before an ISO date; yesterday where it is none."""
    try:
        return (date.fromisoformat(day) - timedelta(days=1)).isoformat()
    except ValueError:
        return (date.today() - timedelta(days=1)).isoformat()


def check_effort(effort: str | None) -> None:
    """Refuse a reasoning effort that harmony has no word for.

    Raises:
        ApiError: it is not low, medium or high.
    """
    if effort is None or effort in EFFORTS:
        return
    if effort == "none":
        message = "Harmony does not support reasoning_effort='none'"
    else:
        message = (
            f"reasoning_effort={effort!r} is not supported by Harmony. "
            f"Supported values are: {', '.join(EFFORTS)}."
        )
    raise bad_value(message, param="reasoning_effort")


def render(messages: Sequence[Fields], tools: Sequence[Fields], *, effort: str | None, day: str) -> list[int]:
    """The token ids of a conversation up to where the assistant begins to speak.

    Raises:
        ApiError: a message or a tool is not what a chat request may hold.
    """
    from openai_harmony import Conversation, HarmonyError, RenderConversationConfig, Role

    instructions, turns = _split_instructions(messages)
    try:
        rendered = [_system_message(effort, day)]
        if instructions or tools:
            rendered.append(_developer_message(instructions or None, tools))
        names = _names_of_calls(turns)
        for turn in turns:
            rendered += _turn(turn, names)
        ids: list[int] = encoding().render_conversation_for_completion(
            Conversation.from_messages(_without_old_reasoning(rendered)),
            Role.ASSISTANT,
            config=RenderConversationConfig(auto_drop_analysis=False),
        )
    except (HarmonyError, ValueError) as error:
        raise bad_request(str(error)) from None
    return ids


def _split_instructions(messages: Sequence[Fields]) -> tuple[str | None, Sequence[Fields]]:
    if messages and messages[0].raw("role") in _INSTRUCTING:
        return "".join(_texts(messages[0])), messages[1:]
    return None, messages


def _system_message(effort: str | None, day: str) -> Any:
    from openai_harmony import Message, ReasoningEffort, Role, SystemContent

    content = SystemContent.new().with_conversation_start_date(day)
    if effort is not None:
        content = content.with_reasoning_effort(ReasoningEffort(effort.capitalize()))
    return Message.from_role_and_content(Role.SYSTEM, content)


def _developer_message(instructions: str | None, tools: Sequence[Fields]) -> Any:
    from openai_harmony import DeveloperContent, Message, Role

    content = DeveloperContent.new()
    if instructions is not None:
        content = content.with_instructions(instructions)
    if tools:
        content = content.with_function_tools([_tool(tool) for tool in tools])
    return Message.from_role_and_content(Role.DEVELOPER, content)


def _tool(tool: Fields) -> Any:
    from openai_harmony import ToolDescription

    if tool.text("type") not in (None, "function"):
        raise bad_request(f"tool type {tool.text('type')} not supported")
    function = tool.part("function")
    if function is None:
        tool.required("function")
        raise bad_request("a tool needs a 'function'", param="tools")
    function.required("name")
    function.part("parameters")  # checked here: the library takes any JSON
    return ToolDescription.new(
        name=function.text("name") or "",
        description=function.text("description") or "",
        parameters=function.raw("parameters"),
    )


def _names_of_calls(turns: Sequence[Fields]) -> dict[str, str]:
    """Tool names by the id of the call, so that a result can say whose it is."""
    names: dict[str, str] = {}
    for turn in turns:
        for call in turn.parts("tool_calls"):
            function = call.part("function")
            names[call.text("id") or ""] = (function.text("name") if function else None) or ""
    return names


def _turn(turn: Fields, names: Mapping[str, str]) -> list[Any]:
    role = turn.required("role")
    if role == "assistant":
        return _assistant_turn(turn)
    if role == "tool":
        return [_tool_result(turn, names)]
    if role in _INSTRUCTING:
        return [_developer_message("".join(_texts(turn)), [])]
    return [_message(role, _texts(turn) or [""])]


def _assistant_turn(turn: Fields) -> list[Any]:
    calls = turn.parts("tool_calls")
    texts = [text for text in _texts(turn) if text]
    reasoning = turn.text("reasoning") or turn.text("reasoning_content")
    thought = [_message("assistant", [reasoning]).with_channel("analysis")] if reasoning else []
    if not calls:
        said = [_message("assistant", texts).with_channel("final")] if texts else []
        return thought + said
    preamble = [_message("assistant", ["".join(texts)]).with_channel("commentary")] if texts else []
    return preamble + thought + [_tool_call(call) for call in calls]


def _tool_call(call: Fields) -> Any:
    function = call.part("function")
    if function is None:
        raise bad_request("a tool call needs a 'function'", param="messages")
    message = _message("assistant", [function.text("arguments") or ""])
    recipient = f"functions.{function.text('name') or ''}"
    return message.with_channel("commentary").with_recipient(recipient).with_content_type("json")


def _tool_result(turn: Fields, names: Mapping[str, str]) -> Any:
    from openai_harmony import Author, Message, Role

    call_id = turn.text("tool_call_id") or ""
    if call_id not in names:
        text = f"tool_call_id {call_id!r} names no tool call of an earlier message"
        raise bad_request(text, param="messages")
    author = Author.new(Role.TOOL, f"functions.{names[call_id]}")
    message = Message.from_author_and_content(author, "".join(_texts(turn)))
    # vLLM 0.32 names the recipient of a result behind the channel; the library's own place is before it.
    return message.with_channel("commentary to=assistant")


def _message(role: Json, texts: Sequence[str]) -> Any:
    from openai_harmony import Author, Message, TextContent

    return Message(author=Author(role=role), content=[TextContent(text=text) for text in texts])


def _texts(message: Fields) -> list[str]:
    """The text parts of a message's content."""
    content = message.raw("content")
    if content is None:
        return []
    if isinstance(content, str):
        return [content]
    return [_text(part) for part in message.items("content")]


def _text(part: Json) -> str:
    if isinstance(part, str):
        return part
    kind = part.get("type") if isinstance(part, dict) else None
    if not isinstance(part, dict) or kind not in (None, "text", "input_text", "output_text"):
        raise _unsupported_part(kind)
    text = part.get("text", "")
    if not isinstance(text, str):
        raise invalid("string_type", "body.messages", "Input should be a valid string", given=text)
    return text


def _unsupported_part(kind: Json) -> ApiError:
    return bad_value(
        f"Unsupported chat content part type: {kind!r}. Supported types: text.", param="type", value=kind
    )


def _without_old_reasoning(messages: Sequence[Any]) -> list[Any]:
    finals = [index for index, message in enumerate(messages) if message.channel == "final"]
    last = finals[-1] if finals else 0
    return [
        message for index, message in enumerate(messages) if message.channel != "analysis" or index > last
    ]

"""Answers as token ids in harmony's form, from texts: a token a byte, or the words that are given."""

from pytest_gptoss.model.token_text import token_bytes

_BYTES = {token_bytes(token_id): token_id for token_id in range(256)}

CHANNEL, START, END, MESSAGE, RETURN, CALL = 200005, 200006, 200007, 200008, 200002, 200012


def spelt(text):
    """Ids of a text, one for each of its bytes."""
    return tuple(_BYTES[bytes([byte])] for byte in text.encode())


def message(header, body):
    """``<|channel|>header<|message|>body``; the body is a text or ids."""
    return (CHANNEL, *spelt(header), MESSAGE, *(spelt(body) if isinstance(body, str) else body))


def harmony(analysis, final=None, *, end=RETURN):
    """Ids of an analysis and, where there is one, a final answer; ``end`` None: cut."""
    ids = message("analysis", analysis)
    if final is not None:
        ids += (END, START, *spelt("assistant"), *message("final", final))
    return ids if end is None else (*ids, end)


def harmony_call(analysis, arguments, *, name="get_weather", preamble=None):
    """Ids of an analysis and a tool call, with a preamble between them where one is given."""
    ids = message("analysis", analysis)
    if preamble is not None:
        ids += (END, START, *spelt("assistant"), *message("commentary", preamble))
    header = f"commentary to=functions.{name} "
    return (*ids, END, START, *spelt("assistant"), *message(header, arguments), CALL)

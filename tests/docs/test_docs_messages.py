"""Who searches the troubleshooting page for a message that the program prints finds it, below a heading."""

import re
from pathlib import Path

import pytest
from printed_messages import printed_messages

PAGE = Path(__file__).resolve().parents[2] / "docs" / "troubleshooting.md"
CHINESE = PAGE.parent / "zh" / "troubleshooting.md"
HEADING = re.compile(r"^### .*\{#([a-z-]+)\}$", re.MULTILINE)


def _families(text):
    """Anchor of a heading -> the forms of messages that are listed below it."""
    parts = HEADING.split(text)
    return {
        anchor: re.findall(r"^- `(.+)`$", body, re.MULTILINE)
        for anchor, body in zip(parts[1::2], parts[2::2], strict=True)
    }


FAMILIES = _families(PAGE.read_text("utf-8"))
FORMS = {form: anchor for anchor, forms in FAMILIES.items() for form in forms}


def _homes(message):
    said = message.replace("`", "")
    return {anchor for form, anchor in FORMS.items() if form in said}


def test_messages_are_found_in_the_code():
    assert len(printed_messages()) > 250


@pytest.mark.parametrize("place", printed_messages())
def test_a_message_has_a_heading(place):
    message = printed_messages()[place]
    assert _homes(message), f"{place}: list it below a heading of docs/troubleshooting.md: {message}"


def test_no_form_is_dead():
    said = [message.replace("`", "") for message in printed_messages().values()]
    assert not [form for form in FORMS if not any(form in message for message in said)]


def test_every_heading_says_what_to_do():
    bodies = HEADING.split(PAGE.read_text("utf-8"))[2::2]
    assert all(len(body.strip().splitlines()[0]) > 40 for body in bodies)


def test_the_chinese_page_has_the_same_headings():
    assert list(_families(CHINESE.read_text("utf-8"))) == list(FAMILIES)


def test_one_that_is_not_listed_is_noticed():
    assert not _homes("the moon is too near: move it away")

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire_transcripts import VERSIONS, response_body

from pytest_gptoss.client.bodies import condense, is_web_page, refusal_text

NGINX = b"""<html>
<head><title>404 Not Found</title><style>h1 { color: red }</style></head>
<body><center><h1>404&nbsp;Not Found</h1></center><hr><center>nginx/1.25</center></body>
</html>"""


@given(st.text(max_size=400), st.integers(10, 60))
def test_condensed_text_is_one_printable_line_within_the_limit(text, limit):
    line = condense(text, limit)
    assert len(line) <= limit
    assert line.isprintable()
    if len(line) < limit:
        assert line.split() == "".join(c if c.isprintable() else " " for c in text).split()


def test_a_cut_is_shown_even_where_only_white_space_was_cut():
    assert condense("a" + " " * 9000 + "b") == "a..."


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("error_unknown_model", "The model `nope` does not exist."),
        ("error_unknown_endpoint", "Not Found"),
        ("auth_missing", "Unauthorized"),
        ("error_bad_type", "1 validation error: {'type': 'int_parsing'"),
    ],
)
def test_every_shape_of_refusal_gives_its_reason(version, name, reason):
    assert refusal_text(response_body(version, name)).startswith(reason)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"object": "error", "message": "old shape", "code": 400}, "old shape"),
        ({"detail": [{"loc": ["body"], "msg": "missing"}]}, '[{"loc": ["body"], "msg": "missing"}]'),
        ({"error": {"code": 1}}, '{"code": 1}'),
        ({}, "{}"),
        (b"plain\r\n text\x1b[31m", "plain text [31m"),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b"[" * 50_000, "[" * 197 + "..."),
        (b"", ""),
    ],
)
def test_bodies_of_other_servers_are_quoted(body, reason):
    assert refusal_text(body) == reason


def test_a_web_page_is_quoted_without_its_tags():
    assert is_web_page("text/html; charset=utf-8", b"")
    assert is_web_page("", NGINX)
    assert not is_web_page("application/json", b'{"a": "<html>"}')
    assert refusal_text(NGINX, "text/html") == "404 Not Found 404 Not Found nginx/1.25"

import copy
import json
import pickle

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pytest_gptoss.client.bodies import condense
from pytest_gptoss.client.endpoint import Endpoint, Secret
from pytest_gptoss.model.errors import UsageError
from pytest_gptoss.model.message import Message, joined, say, with_messages

LABEL = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,10}[a-z])?", fullmatch=True).filter(
    lambda text: not text.isdigit()
)
HOSTS = st.one_of(
    st.lists(LABEL, min_size=1, max_size=3).map(".".join),
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(lambda address: f"[{address}]"),
)
PREFIXES = st.lists(
    st.from_regex(r"[a-z][a-z0-9_-]{0,8}", fullmatch=True).filter(lambda s: s != "v1"), max_size=2
)
ENDINGS = st.sampled_from(["", "/v1", "/v1/chat/completions", "/v1/completions"])


@given(
    scheme=st.sampled_from(["http", "https", "HTTP"]),
    host=HOSTS,
    port=st.none() | st.integers(1, 65535),
    prefix=PREFIXES,
    ending=ENDINGS,
    slash=st.sampled_from(["", "/", "//"]),
)
def test_every_form_that_people_paste_gives_the_root(scheme, host, port, prefix, ending, slash):
    authority = host if port is None else f"{host}:{port}"
    path = "".join(f"/{part}" for part in prefix)
    endpoint = Endpoint.parse(f"{scheme}://{authority}{path}{ending}{slash}")
    assert endpoint.root == f"{scheme.lower()}://{authority}{path}"
    assert Endpoint.parse(endpoint.root) == endpoint
    requested = httpx.URL(endpoint.url("/v1/models"))
    assert requested.host == host.strip("[]")
    assert requested.path == f"{path}/v1/models"


@given(
    st.one_of(
        st.text(), st.text().map("http://".__add__), st.from_regex(r"https?://[!-~]{0,40}", fullmatch=True)
    )
)
@example("http://a..b")
@example("http://[::1")
@example("http://[fe80::1%eth0]:80")
@example("http://999.1.1.1")
@example("http://1.2.3:8000")
@example("http://\u212a:8000")
def test_any_text_is_an_endpoint_or_one_line_of_refusal(text):
    endpoint, refusal = _parsed(text)
    if refusal is not None:
        assert len(refusal.splitlines()) == 1
        assert len(refusal) < 500
    else:
        httpx.URL(endpoint.url("/v1/models")).host.encode("idna")
        assert Endpoint.parse(endpoint.root).root == endpoint.root


def _parsed(text):
    try:
        return Endpoint.parse(text), None
    except UsageError as error:
        return None, str(error)


@pytest.mark.parametrize(
    ("url", "rule"),
    [
        ("", "empty"),
        ("   ", "empty"),
        ("npu:8000", "no scheme"),
        ("10.0.0.1:8000/v1", "no scheme"),
        ("ws://npu:8000", "another scheme"),
        ("http://", "names no host"),
        ("http:///v1", "names no host"),
        ("http://:8000", "names no host"),
        ("http://npu:", "no usable port"),
        ("http://npu:0", "no usable port"),
        ("http://npu:65536", "no usable port"),
        ("http://npu:80x", "no usable port"),
        ("http://[::1:8000", "IPv6"),
        ("http://[fe80::1%eth0]:8000", "without a zone"),
        ("http://10.0.0.256:8000", "no IP address"),
        ("http://npu..example", "no valid host name"),
        ("http://npu:8000?x=1", "query"),
        ("http://npu:8000/v1#here", "fragment"),
        ("http://npu :8000", "space"),
        ("http://npu:8000\\v1", "space"),
    ],
)
def test_a_refusal_names_the_value_and_the_rule(url, rule):
    with pytest.raises(UsageError) as caught:
        Endpoint.parse(url)
    assert rule in str(caught.value)
    assert url.strip()[:12].split("?")[0].split("\\")[0] in str(caught.value)


@given(
    user=st.from_regex(r"[a-z]{1,5}", fullmatch=True),
    password=st.from_regex(r"PW[!-~]{1,12}WP", fullmatch=True),
    port=st.sampled_from(["", ":8000", ":bad"]),
)
def test_a_password_in_the_url_is_refused_and_not_repeated(user, password, port):
    with pytest.raises(UsageError) as caught:
        Endpoint.parse(f"http://{user}:{password}@npu{port}/v1?api_key={password}")
    assert password not in str(caught.value)
    assert "PW" not in str(caught.value)


def test_credentials_are_refused_with_the_variable_to_use_instead():
    with pytest.raises(UsageError, match=r"credentials.*GPTOSS_NPU_API_KEY"):
        Endpoint.parse("http://user:hunter2@npu:8000")


def test_a_secret_shows_itself_to_nobody_who_does_not_ask():
    secret = Secret(" sk-very-secret\n")
    endpoint = Endpoint.parse("http://npu:8000", api_key=secret)
    shown = f"{secret} {secret!r} {endpoint} {endpoint!r} {[secret]}"
    assert "very" not in shown
    assert secret.reveal() == "sk-very-secret"
    assert secret == Secret("sk-very-secret")
    assert secret != Secret("other")
    assert len({secret, Secret("sk-very-secret")}) == 1
    with pytest.raises(TypeError):
        pickle.dumps(endpoint)
    with pytest.raises(TypeError):
        copy.copy(secret)


@pytest.mark.parametrize("value", ["", "  ", "two words", "line\nbreak", "schlüssel", "nul\0"])
def test_a_key_that_no_header_can_carry_is_refused_without_being_shown(value):
    with pytest.raises(UsageError) as caught:
        Secret(value)
    assert "GPTOSS_" in str(caught.value)
    if value.strip():
        assert value.strip() not in str(caught.value)


@given(
    key=st.from_regex(r"[A-Z!-/]{12,30}", fullmatch=True),
    before=st.text(alphabet="abc ", max_size=260),
    limit=st.integers(10, 200),
)
def test_scrubbing_removes_the_key_whole_escaped_or_cut(key, before, limit):
    secret = Secret(key)
    for written in (key, repr(key)[1:-1]):
        shown = secret.scrub(condense(f"{before}{written} tail " * 3, limit))
        assert not any(key[: i + 4] in shown for i in range(len(key) - 3))


def test_a_scrubbed_message_stays_a_message_where_its_values_can_be_scrubbed():
    secret = Secret("sk-very-secret")
    sound = say("{where}: {said}", where="POST /", said="no such model")
    assert secret.scrub(sound) is sound
    echoed = secret.scrub(say("it says {said}, {parts}", said="'sk-very-secret'", parts=joined(["a", "b"])))
    assert echoed == "it says '***', a; b"
    assert isinstance(echoed, Message)
    assert "secret" not in json.dumps(with_messages({"reason": echoed}))


@pytest.mark.parametrize("told", [say("sk-very-secret"), say("{a}{b}", a="sk-very", b="-secret")])
def test_a_message_that_holds_the_key_in_parts_becomes_its_text(told):
    assert Secret("sk-very-secret").scrub(told) == "***"
    assert not isinstance(Secret("sk-very-secret").scrub(told), Message)

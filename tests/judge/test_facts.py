"""Versions by release segment, and whose word counts."""

import pytest

from pytest_gptoss.judge.facts import FactBook, release
from pytest_gptoss.model.subjects import KnownFact, ServerFacts


@pytest.mark.parametrize(
    ("text", "segment"),
    [
        ("0.18.0rc1", (0, 18)), ("0.18.0", (0, 18)), ("0.18", (0, 18)), ("v0.18.0+cpu", (0, 18)),
        ("0.18.0.post1", (0, 18)), ("0.18.0.dev3+g1", (0, 18)),
        ("8.5.1", (8, 5, 1)), ("0.17.9", (0, 17, 9)),
        ("0.32.0", (0, 32)), ("", None), ("unknown", None), ("pytest-gptoss 0.1", None),
    ],
)  # fmt: skip
def test_the_release_segment(text, segment):
    assert release(text) == segment


def test_a_candidate_counts_as_its_release_and_older_ones_do_not():
    assert release("0.18.0rc1") >= release("0.18.0")
    assert release("0.17.99") < release("0.18.0")
    assert release("0.100.0") > release("0.18.0")


@pytest.mark.parametrize("version", ["0.1.dev1+g12ab34c", "0.1.dev15892+gabc"])
def test_a_build_that_does_not_know_its_version_leaves_it_to_the_user(version):
    known = (KnownFact("vllm", version, "npu.log:2"), KnownFact("vllm_ascend", version, "npu.log:3"))
    server = ServerFacts("run", (), 0.0, ("m",), model="m", version=version, known=known)
    book = FactBook.of("npu", server, {"npu": {"vllm": "0.18.0"}})
    assert book.get("vllm") == KnownFact("vllm", "0.18.0", "--gptoss-info")
    assert book.get("vllm_ascend") is None


def test_a_server_that_did_not_answer_leaves_what_is_stated():
    assert FactBook.of("npu", None, {"npu": {"cann": "8.5.1"}}).facts == {
        "cann": KnownFact("cann", "8.5.1", "--gptoss-info")
    }


def test_the_servers_own_word_counts_before_the_users():
    server = ServerFacts(
        "run", (), 0.0, ("m",), model="m", version="0.19.0",
        known=(KnownFact("dtype", "torch.float16", "/server_info"),),
    )  # fmt: skip
    stated = {"npu": {"dtype": "bfloat16", "cann": "8.5.1", "vllm": "0.1.0"}, "gpu": {"cann": "1.0"}}
    book = FactBook.of("npu", server, stated)
    assert book.get("dtype") == KnownFact("dtype", "torch.float16", "/server_info")
    assert book.get("cann") == KnownFact("cann", "8.5.1", "--gptoss-info")
    assert book.get("vllm") == KnownFact("vllm", "0.19.0", "/version")
    assert book.get("torch") is None

"""Command lines of servers, and what of them nobody shall read."""

from pathlib import Path

import pytest

from pytest_gptoss.model.errors import UsageError
from pytest_gptoss.model.secret_values import masked_words, secret_values, secret_words, without
from pytest_gptoss.model.serve_command import ServeCommand, read_serve_command, split_name


def test_places_are_filled_and_other_braces_stay():
    command = read_serve_command("""serve "a model" --port {port} --host={host} --config '{"mode":"FULL"}'""")
    filled = command.filled(port=8000, log=Path("log"))
    assert filled == ["serve", "a model", "--port", "8000", "--host=127.0.0.1", "--config", '{"mode":"FULL"}']


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("vllm serve m --port 8000", "has no {port}"),
        ("vllm serve 'm --port {port}", "is not whole"),
        ("''", "has no {port}"),
        ("VLLM_USE_V1=1 vllm serve m --port {port}", "--gptoss-serve-env VLLM_USE_V1=VALUE"),
    ],
)
def test_what_is_no_command(text, said):
    with pytest.raises(UsageError) as raised:
        read_serve_command(text)
    assert said in str(raised.value)


def test_a_name_is_told_from_a_variable():
    assert split_name("tp1=python3 x --a=b", default="npu") == ("tp1", "python3 x --a=b")
    assert split_name("python3 x --a=b", default="npu") == ("npu", "python3 x --a=b")
    assert split_name("TP8=python3 x", default="npu") == ("TP8", "python3 x")
    for text in ("VLLM_USE_V1=1 vllm serve m", "A=0,1 vllm serve m", "no_proxy=here python3 x"):
        with pytest.raises(UsageError, match="--gptoss-serve-env"):
            split_name(text, default="npu")


def test_secrets_are_known_by_their_names():
    environment = {
        "HF_TOKEN": "hf_abc", "AWS_SECRET_ACCESS_KEY": "aws!", "X_PASSWORD": "longer hf_abc",
        "OPENAI_APIKEY": "sk-1",
        "MAX_TOKENS": "4096", "TOKENIZERS_PARALLELISM": "false", "A_KEY": "abc", "B_TOKEN": "true",
    }  # fmt: skip
    assert set(secret_values(environment)) == {"hf_abc", "aws!", "longer hf_abc", "sk-1"}
    assert without("longer hf_abc, hf_abc", secret_values(environment)) == "***, ***"


@pytest.mark.parametrize("name", ["PGPASS", "GITHUB_PAT", "HF_AUTH", "HFTOKEN", "ACCESSTOKEN", "PASSPHRASE"])
def test_secrets_are_known_by_more_names(name):
    assert secret_values({name: "hidden"}) == ("hidden",)


def test_a_password_within_an_address_is_a_secret_under_any_name():
    value = "postgresql://me:pw-4711@host/db"
    assert secret_values({"DATABASE": value, "PATH": "/bin:/x@y"}) == ("pw-4711",)
    assert masked_words(["--db", value, f"DB={value}"]) == [
        "--db", "postgresql://me:***@host/db", "DB=postgresql://me:***@host/db",
    ]  # fmt: skip
    assert secret_words(["--db", value]) == ("pw-4711",)


def test_a_command_is_shown_without_secrets():
    words = [
        "vllm",
        "--api-key",
        "sk-1",
        "--hf-token=x",
        "-e",
        "DB_PASSWORD=x",
        "--max-tokens",
        "5",
    ]
    assert masked_words(words) == [
        "vllm", "--api-key", "***", "--hf-token=***", "-e", "DB_PASSWORD=***", "--max-tokens", "5",
    ]  # fmt: skip
    assert secret_words([*words, "--hf-token=long-x", "--api-key=true"]) == ("long-x", "sk-1")
    assert ServeCommand(("a", "hf_abc"), {"HF_TOKEN": "hf_abc"}).shown == "a ***"

"""Whether two servers were given the same prompts is known from the prompts, whatever the answers are."""

import contextlib
import json

import pytest
from fake_vllm import fake_vllm

from pytest_gptoss.config.plan import make_plan
from pytest_gptoss.config.settings import DeviceSettings, Settings
from pytest_gptoss.run.engine import AcceptanceRun

PROMPTS = ["Name a colour.", "Count to five.", "Is it late?", "Why not?", "Say hello."]


@contextlib.contextmanager
def running(tmp_path, *, npu, gpu, name="report", **options):
    """A run of two servers on a few prompts; ``verdict`` of it judges a row of the npu."""
    prompts = tmp_path / "prompts.json"
    prompts.write_text(json.dumps(PROMPTS), "utf-8")
    devices = [
        DeviceSettings(role, role, None if url is None else url, recorded=url is None)
        for role, url in (("npu", npu), ("gpu", gpu))
    ]
    settings = Settings(devices=tuple(devices), report=tmp_path / name, prompts=prompts, **options)
    run = AcceptanceRun(settings, make_plan(settings), tell=lambda _: None)
    run.begin()
    try:
        yield run
    finally:
        run.close()


def long(body):
    return body["max_tokens"] > 1


def nan_scores(body, chunks):
    """NaN for log-probabilities, as a device that computes garbage says."""
    if body.get("logprobs") and long(body):
        chunks[1]["choices"][0]["logprobs"]["content"][0]["logprob"] = float("nan")
    return chunks


def error_in_the_middle(body, chunks):
    return [*chunks[:2], {"error": {"message": "EngineCore encountered an issue", "code": 500}}]


def broken_off(body, chunks):
    return [*chunks[:2], None]


def without_end(body, chunks):
    return [*chunks[:-2], {"choices": []}]


def refused(body, chunks):
    return (500, '{"error": {"message": "Out of range float values"}}') if long(body) else chunks


def endless(body, chunks):
    return chunks[:2] + [chunks[1]] * (3 * body["max_tokens"] + 40)


@pytest.mark.parametrize(
    ("fault", "side"),
    [
        *((each, "npu") for each in (nan_scores, error_in_the_middle, without_end, refused, endless)),
        *((each, "gpu") for each in (broken_off, refused)),
    ],
)
def test_unusable_answers_leave_the_prompts_comparable(tmp_path, fault, side):
    with fake_vllm() as sound, fake_vllm(fault) as bad:
        urls = {"npu": sound.url, "gpu": sound.url, side: bad.url}
        with running(tmp_path, **urls) as run:
            inputs = run.verdict("npu", "inputs.identical")
            assert (inputs.status, inputs.value, inputs.n) == ("PASS", 1.0, len(PROMPTS)), inputs.reason
            match = run.verdict("npu", "precision.token_match_rate")
            assert match.status == "INVALID"
            assert match.reason.startswith(f"{side}: "), match.reason
            if side == "npu":
                # The device scores the baseline's answers: what would show the fault is judged.
                assert run.verdict("npu", "precision.kl").status == "PASS"
                assert run.verdict("npu", "precision.forced_agreement").status == "PASS"


def test_other_prompts_are_found_behind_unusable_answers(tmp_path):
    def another_prompt(body, chunks):
        chunks[0]["prompt_token_ids"][1] = 17360
        return error_in_the_middle(body, chunks)

    with (
        fake_vllm() as gpu,
        fake_vllm(another_prompt) as npu,
        running(tmp_path, npu=npu.url, gpu=gpu.url) as run,
    ):
        assert run.verdict("npu", "inputs.identical").status == "FAIL"
        assert "does not hold" in run.verdict("npu", "precision.kl").reason


def test_a_count_that_contradicts_the_prompt_is_no_prompt(tmp_path):
    def miscounted(body, chunks):
        return [{**chunks[0], "prompt_token_ids": chunks[0]["prompt_token_ids"][:-1]}, *chunks[1:]]

    with fake_vllm() as gpu, fake_vllm(miscounted) as npu, running(tmp_path, npu=npu.url, gpu=gpu.url) as run:
        verdict = run.verdict("npu", "inputs.identical")
        assert verdict.status == "INVALID"
        assert "usage counts" in verdict.reason


@pytest.mark.parametrize("inputs", ["chat", "token-ids"])
def test_sound_answers_are_not_asked_for_again(tmp_path, inputs):
    with (
        fake_vllm() as npu,
        fake_vllm() as gpu,
        running(tmp_path, npu=npu.url, gpu=gpu.url, inputs=inputs) as run,
    ):
        run.devices.probed()
        before = len(npu.asked)
        assert run.verdict("npu", "inputs.identical").status == "PASS"
        asked = [body for path, body in npu.asked[before:]]
        assert len(asked) == len(PROMPTS)
        assert all(long(body) for body in asked)


def test_prompts_without_an_answer_alone_are_asked_for(tmp_path):
    def fails_once(body, chunks):
        return refused(body, chunks) if body["messages"][0]["content"] == PROMPTS[1] else chunks

    with fake_vllm() as gpu, fake_vllm(fails_once) as npu, running(tmp_path, npu=npu.url, gpu=gpu.url) as run:
        run.devices.probed()
        before = len(npu.chats())
        assert run.verdict("npu", "inputs.identical").status == "PASS"
        short = [body["messages"][0]["content"] for body in npu.chats()[before:] if not long(body)]
        assert short == [PROMPTS[1]]


def test_prompts_sent_as_ids_are_compared_too(tmp_path):
    with fake_vllm() as gpu, fake_vllm() as npu:
        npu.post["/v1/completions"] = (500, "no")
        with running(tmp_path, npu=npu.url, gpu=gpu.url, inputs="token-ids") as run:
            run.devices.probed()
            verdict = run.verdict("npu", "inputs.identical")
            assert verdict.status == "INVALID"
            assert "answered 500" in verdict.reason


def test_a_recorded_baseline_and_an_earlier_run_tell_their_prompts_by_their_answers(tmp_path):
    with fake_vllm() as gpu, fake_vllm(error_in_the_middle) as npu:
        with running(tmp_path, npu=npu.url, gpu=gpu.url, name="first", record=tmp_path / "base.zip") as run:
            run.verdict("npu", "precision.kl")
            run.record()
            measurements = run.store.directory / "measurements"
            for file in measurements.glob("rendered-*-for-*"):
                file.unlink()  # as a version wrote it that compared answers
        replay = tmp_path / "first"
        with running(tmp_path, npu=npu.url, gpu=gpu.url, name="again", replay=replay) as run:
            before = len(npu.asked)
            verdict = run.verdict("npu", "inputs.identical")
            assert verdict.status == "INVALID"
            assert verdict.reason.startswith("npu: "), verdict.reason
            assert len(npu.asked) == before
        with running(tmp_path, npu=npu.url, gpu=None, name="recorded", baseline=tmp_path / "base.zip") as run:
            assert run.verdict("npu", "inputs.identical").status == "PASS"

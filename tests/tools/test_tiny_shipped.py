"""The weights that ship: a small part of both tables of ``tools/train_tiny.py --evaluate``."""

from __future__ import annotations

import random

import pytest
from tiny import domain, exam, harmony, report
from tiny.damage import DAMAGES, SOUND
from tiny.evaluation import Examined

from pytest_gptoss.model.resources import fixture

SHIPPED = fixture("tiny-gpt-oss")
# Every 4th task: all kinds, a quarter of the time.
TASKS = exam.tasks()[::4]


@pytest.fixture(scope="module")
def examiner() -> report.Examiner:
    return report.open_checkpoint(SHIPPED)


@pytest.fixture(scope="module")
def answers(examiner) -> list[tuple[int, ...]]:
    return examiner.greedy(TASKS)


@pytest.fixture(scope="module")
def sound(examiner, answers) -> Examined:
    return examiner.examine(TASKS, answers, SOUND)


def test_it_answers_as_taught(answers):
    right = sum(task.answer == answer for task, answer in zip(TASKS, answers, strict=True))
    assert right >= 0.95 * len(TASKS)


def test_bfloat16_says_the_same(answers):
    pairs = [(task.prompt, answer) for task, answer in zip(TASKS, answers, strict=True)]
    same = report._transformers_agrees(SHIPPED, pairs, "bfloat16")
    assert sum(same) >= 0.98 * len(same)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_it_finds_a_needle_in_a_thousand_tokens(examiner, language):
    r = random.Random(11)
    tasks = [exam.needle_task(r, language, 1024, depth) for depth in exam.DEPTHS]
    assert all(result.equal for result in examiner.force([(t.prompt, t.answer) for t in tasks]))


@pytest.mark.parametrize("language", ["en", "zh"])
def test_it_thinks_longer_when_asked_to(examiner, language):
    lengths = []
    for effort in ("low", "high"):
        prompt = harmony.system(exam.DATE, effort, tools=False)
        prompt += harmony.user(domain.question_turns(language, effort)[0].question)
        said = harmony.decode(examiner.generate(harmony.encode(prompt)))
        assert said.startswith("<|channel|>analysis<|message|>")
        lengths.append(said.index("<|end|>"))
    assert lengths[0] < lengths[1]


@pytest.mark.parametrize("name", DAMAGES)
def test_it_depends_on_every_part(examiner, answers, sound, name):
    hurt = examiner.examine(TASKS, answers, DAMAGES[name])
    moved = abs(hurt.perplexity / sound.perplexity - 1)
    assert moved > 0.02 or hurt.equal < 0.9 * hurt.total


def test_the_weights_are_small():
    assert (SHIPPED / "model.safetensors").stat().st_size < 8_000_000

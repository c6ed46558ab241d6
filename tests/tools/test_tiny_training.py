"""The training loop learns, punishes damages, and goes on where it stopped; the examination is honest."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from tiny import batches, exam, seeding
from tiny.batches import Rows
from tiny.conversations import SAID, certain_ids
from tiny.damage import SOUND, Damage
from tiny.evaluation import Examiner
from tiny.network import Network, shape_of
from tiny.training import HINGES, Plan, Trainer, saved_ids

STEPS_TO_COPY = 40
SMALL = batches.Stage(lengths=(128,), tokens=512, needle_share=0.5, repeat_share=0.5)


@pytest.fixture(scope="module")
def rows() -> Rows:
    # What samples add to these is a handful, and takes half a minute to find.
    return Rows.of(tuple(sorted(certain_ids())))


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    monkeypatch.setattr("tiny.training.stage", lambda _: SMALL)


def trainer(rows: Rows, **plan: float) -> Trainer:
    torch.manual_seed(0)
    network = Network(shape_of(), rows.count)
    seeding.induction(network)
    return Trainer(network, rows, Plan(**{"tokens": 1e6, "hinge_from": 2.0, **plan}), torch.device("cpu"))


def test_a_few_steps_lower_the_loss(rows):
    run = trainer(rows, rate=4e-3)
    losses = []
    for _ in range(12):
        run.step()
        losses.append(run.figures.values["said"])
    assert losses[-1] < losses[0] - 0.3


def test_copying_a_number_is_learnt_from_nothing(rows, monkeypatch):
    """Chance is one in a thousand: as many numbers have an id."""
    needles = batches.Stage(lengths=(128,), tokens=1024, needle_share=1.0, repeat_share=0.0)
    monkeypatch.setattr("tiny.training.stage", lambda _: needles)
    run = trainer(rows, rate=4e-3)
    while run.steps < STEPS_TO_COPY:
        run.step()
    assert run.figures.values["digits"] > 0.25


def test_a_resumed_run_is_the_run_that_went_on(rows, tmp_path):
    first = trainer(rows)
    first.step()
    first.save(tmp_path / "state.pt")
    first.step()
    second = trainer(rows)
    second.resume(tmp_path / "state.pt")
    second.step()
    assert second.tokens == first.tokens
    for name, tensor in first.network.state_dict().items():
        assert torch.equal(tensor, second.network.state_dict()[name]), name


def test_a_state_of_another_domain_is_refused(rows, tmp_path):
    run = trainer(rows)
    run.save(tmp_path / "state.pt")
    assert saved_ids(tmp_path / "state.pt") == rows.used
    run.rows = dataclasses.replace(rows, used=rows.used[::2])
    run.save(tmp_path / "state.pt")
    with pytest.raises(SystemExit, match="start anew"):
        saved_ids(tmp_path / "state.pt")


def test_the_hinge_asks_for_loss_under_damage_until_the_margin(rows, monkeypatch):
    run = trainer(rows, hinge_from=0.0)
    monkeypatch.setattr(run, "_draw", lambda: "no sinks")
    batch = next(run._stream)
    assert run._damaged(batch) is None  # an untrained network is bad enough
    run.plan = dataclasses.replace(run.plan, margin=50.0)
    # Each pass takes a random half of the sequences, which can be none of so few.
    shorts = [short for _ in range(8) if (short := run._damaged(batch)) is not None]
    assert shorts
    shorts[0].backward()
    assert run.network.lm_head.weight.grad is not None


def test_every_damage_of_the_hinge_differs_from_sound():
    assert all(damage != SOUND for damage in HINGES.values())
    assert len(set(HINGES.values())) == len(HINGES)


def test_batches_hold_answers_in_known_rows(rows):
    import random

    for batch in batches.batches(random.Random(4), rows, SMALL):
        assert batch.rows.shape == batch.classes.shape
        assert (batch.classes == SAID).any(1).all()
        assert (batch.rows[batch.classes == SAID] < rows.count - 1).all()
        assert (batch.positions.diff() > 0).all()


def test_no_token_behind_a_jump_is_judged(rows):
    import random

    wide = batches.Stage(lengths=(256,), tokens=1024, needle_share=0.5, repeat_share=0.1)
    jumps = 0
    for batch in batches.batches(random.Random(6), rows, wide):
        places = batch.positions.tolist()
        for token, place in enumerate(places):
            if place - places[max(0, token - 127)] != min(token, 127):
                jumps += 1
                assert (batch.classes[:, token] == 0).all()
        assert (batch.classes == SAID).any()
    assert jumps


def test_a_forced_answer_is_equal_exactly_when_generating_gives_it(rows):
    torch.manual_seed(3)
    examiner = Examiner(Network(shape_of(), rows.count), rows.used)
    task = exam.tasks()[0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tiny.evaluation._MOST_GENERATED", 6)
        answer = examiner.generate(task.prompt)
    wrong = (*answer[:3], answer[3] + 1, *answer[4:])
    same, other = examiner.force([(task.prompt, answer), (task.prompt, wrong)])
    assert same.equal
    assert other.likely.tolist()[:3] == [True] * 3
    assert not other.equal
    figures = examiner.examine([task], [answer], Damage(mixed_groups=True))
    assert (figures.total, figures.perplexity > 1) == (1, True)

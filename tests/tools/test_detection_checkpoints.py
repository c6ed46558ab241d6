"""Damage in the weights is the damage it is called after."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from detection.checkpoints import DAMAGES, damaged_copy
from safetensors.torch import load_file

from pytest_gptoss.model.resources import fixture
from pytest_gptoss.reference import checkpoint, defects

TINY = fixture("tiny-gpt-oss", "config.json").parent
IDS = torch.tensor([[1, 5, 9, 200, 300, 17, 4, 1000, 33, 7]])


def logits(folder: Path | str, defect: str | None = None) -> torch.Tensor:
    model = checkpoint.load(folder, "float32").model
    model.set_attn_implementation("eager")
    with torch.inference_mode():
        defects.damage(model, defect)
        return model(IDS).logits[0].log_softmax(-1)


@pytest.mark.parametrize("damage", ["zero-expert", "no-sinks", "int4-experts"])
def test_the_weights_carry_what_the_program_would_do_wrong(damage: str, tmp_path: Path) -> None:
    sound, program = logits("tiny"), logits("tiny", damage)
    weights = logits(damaged_copy(TINY, tmp_path, damage))
    far = (program - sound).abs().mean()
    assert (weights - program).abs().mean() < 0.05 * far
    assert far > 0.01


def test_plain_swiglu_in_the_weights_is_as_far_off_as_in_the_program(tmp_path: Path) -> None:
    """Not the same figures: weights cannot take the clamp away, and the checkpoint leans on it."""
    sound, program = logits("tiny"), logits("tiny", "plain-swiglu")
    weights = logits(damaged_copy(TINY, tmp_path, "plain-swiglu"))
    assert (weights - sound).abs().mean() > 0.2 * (program - sound).abs().mean()


def test_fewer_bits_and_more_noise_are_farther_from_sound(tmp_path: Path) -> None:
    sound = logits("tiny")

    def far(damage: str) -> float:
        return float((logits(damaged_copy(TINY, tmp_path / damage, damage)) - sound).abs().mean())

    bits = [far(f"weights-{bits}bit") for bits in (8, 6, 5, 4)]
    noise = [far(f"noise-{share:g}") for share in (1e-3, 3e-3, 1e-2, 3e-2, 1e-1)]
    assert bits == sorted(bits)
    assert noise == sorted(noise)
    assert min(bits + noise) > 0


@pytest.mark.parametrize("damage", sorted(DAMAGES))
def test_shapes_and_precision_stay_and_the_original_is_left_alone(damage: str, tmp_path: Path) -> None:
    before = (TINY / "model.safetensors").stat()
    damaged_copy(TINY, tmp_path, damage)
    sound, spoilt = (load_file(folder / "model.safetensors") for folder in (TINY, tmp_path))
    assert {name: (t.shape, t.dtype) for name, t in sound.items()} == {
        name: (t.shape, t.dtype) for name, t in spoilt.items()
    }
    assert all(torch.isfinite(tensor.float()).all() for tensor in spoilt.values())
    assert any(not torch.equal(sound[name], spoilt[name]) for name in sound)
    assert (TINY / "model.safetensors").stat() == before

"""The network is transformers' GPT-OSS, and its damages are damages."""

from __future__ import annotations

import pytest
import torch
from tiny import checkpoint, seeding
from tiny.damage import DAMAGES, SOUND, Damage
from tiny.network import CONFIG, Network, shape_of

from pytest_gptoss.reference import checkpoint as reference

WEIGHTS = CONFIG.parent / "model.safetensors"


@pytest.fixture(scope="module")
def network() -> Network:
    tensors, used = checkpoint.load_compact(WEIGHTS)
    network = Network(shape_of(), len(used) + 1)
    network.load_state_dict(tensors)
    return network.eval()


def logits(network: Network, rows: torch.Tensor, damage: Damage = SOUND) -> torch.Tensor:
    with torch.no_grad():
        return network.lm_head(network.hidden(rows, torch.arange(rows.shape[1]), damage))


def some_rows(tokens: int) -> torch.Tensor:
    return torch.randint(0, 2000, (1, tokens), generator=torch.Generator().manual_seed(tokens))


@pytest.mark.parametrize("tokens", [20, 200, 512], ids=["short", "masked", "in blocks"])
def test_logits_are_those_of_transformers(network, tokens):
    model = reference.load("tiny", "float32").model
    model.set_attn_implementation("eager")
    rows = some_rows(tokens)
    with torch.no_grad():
        theirs = model(rows, use_cache=False).logits
    assert (logits(network, rows) - theirs).abs().max() < 1e-3


@pytest.mark.parametrize("name", DAMAGES)
def test_each_damage_changes_the_logits(network, name):
    rows = some_rows(200)
    if name == "no clamp":
        # Weights of another training may never reach the clamp: make this one do so.
        network = Network(network.shape, network.lm_head.out_features)
        seeding.clamp_units(network, units=8)
    assert (logits(network, rows, DAMAGES[name]) - logits(network, rows)).abs().max() > 1e-4


def test_damages_of_the_window_leave_what_is_nearer_alone(network):
    rows = some_rows(200)
    sound = logits(network, rows)
    for name, reach in (("window 64", 64), ("no sliding window", 128)):
        hurt = logits(network, rows, DAMAGES[name])
        assert torch.allclose(hurt[:, :reach], sound[:, :reach], atol=1e-4)
        assert not torch.allclose(hurt[:, reach:], sound[:, reach:], atol=1e-4)


def test_outlier_channels_change_nothing_but_what_4_bits_can_hold(network):
    rows = some_rows(100)
    changed = Network(network.shape, network.lm_head.out_features)
    changed.load_state_dict(network.state_dict())
    seeding.outlier_channels(changed, every=32, factor=16.0)
    sound = logits(network, rows)
    assert torch.allclose(logits(changed, rows), sound, atol=1e-3)
    int4 = Damage(int4_along="input")
    error = (logits(network, rows, int4) - sound).abs().mean()
    assert (logits(changed, rows, int4) - sound).abs().mean() > 2 * error


def test_a_compact_file_comes_back_as_it_was(network, tmp_path):
    used = tuple(range(100, 100 + network.lm_head.out_features - 1))
    checkpoint.save_compact(network, used, tmp_path / "model.safetensors")
    tensors, known = checkpoint.load_compact(tmp_path / "model.safetensors")
    assert known == used
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensors[name], tensor.to(torch.bfloat16).float())


def test_a_warm_start_keeps_the_rows_it_knows(network, tmp_path):
    rows = network.lm_head.out_features
    checkpoint.save_compact(network, tuple(range(rows - 1)), tmp_path / "old.safetensors")
    grown = Network(network.shape, rows + 2)
    known = checkpoint.warm_start(grown, tuple(range(2, rows + 3)), tmp_path / "old.safetensors")
    assert known == rows - 3
    old, new = network.lm_head.weight, grown.lm_head.weight
    assert torch.equal(new[0], old[2].to(torch.bfloat16).float())
    assert torch.equal(new[-1], old[-1].to(torch.bfloat16).float())

"""The network is transformers' GPT-OSS, and its damages are damages."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from tiny import checkpoint, seeding
from tiny.damage import DAMAGES, SOUND, Damage
from tiny.guards import ALARM, HEAVY, Guards
from tiny.network import Network, shape_of

from pytest_gptoss.model.resources import fixture
from pytest_gptoss.reference import checkpoint as reference

SHIPPED = fixture("tiny-gpt-oss")


@pytest.fixture(scope="module")
def network() -> Network:
    tensors, used = checkpoint.load_compact(SHIPPED / "model.safetensors")
    network = Network(shape_of(SHIPPED / "config.json"), len(used) + 1)
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
    seeding.outlier_channels(network, undo=True)
    seeding.outlier_channels(changed)
    sound = logits(network, rows)
    assert torch.allclose(logits(changed, rows), sound, atol=1e-3)
    int4 = Damage(int4_along="input")
    error = (logits(network, rows, int4) - sound).abs().mean()
    assert (logits(changed, rows, int4) - sound).abs().mean() > 2 * error


def test_outlier_channels_are_made_once_and_unmade(network):
    changed = Network(network.shape, network.lm_head.out_features)
    changed.load_state_dict(network.state_dict())
    seeding.outlier_channels(changed)
    once = {name: tensor.clone() for name, tensor in changed.state_dict().items()}
    seeding.outlier_channels(changed)
    assert all(torch.equal(tensor, once[name]) for name, tensor in changed.state_dict().items())
    seeding.outlier_channels(changed, undo=True)
    seeding.outlier_channels(network, undo=True)
    assert all(
        torch.equal(tensor, network.state_dict()[name]) for name, tensor in changed.state_dict().items()
    )


def said_by_guards(damage: Damage) -> torch.Tensor:
    """How much the watch and the far head attend [tokens, 2] in an otherwise mute first layer."""
    network = guarded()
    attention = next(network.layers()).self_attn
    with torch.no_grad():
        attention.o_proj.weight[:, :128] = 0
        attention.o_proj.bias.zero_()
        places = network._places(torch.arange(300) + 1000, damage)
        out = attention(torch.randn(1, 300, network.shape.hidden), places, damage)[0]
        vectors = attention.o_proj.weight[:, 128:].view(network.shape.hidden, 2, -1).sum(-1)
    return out @ vectors / vectors.square().sum(0)


def guarded() -> Network:
    """An untrained network with its guards."""
    torch.manual_seed(0)
    network = Network(shape_of(), 50)
    Guards.of(network)
    return network


def test_sound_attention_lets_the_watch_rest_and_the_far_head_speak():
    watch, far = said_by_guards(SOUND).T
    assert watch.abs().max() < 0.001
    assert far[:60].abs().max() < 0.01
    assert far[75:].min() > 0.99


@pytest.mark.parametrize(
    ("name", "since"),
    [("no sinks", 0), ("no sliding window", 136), ("no YaRN", 80), ("YaRN scale missing", 80)],
)
def test_wrong_attention_wakes_the_watch(name, since):
    watch = said_by_guards(DAMAGES[name])[:, 0]
    assert watch[since:].min() > 0.5


def test_half_a_window_silences_the_far_head():
    assert said_by_guards(DAMAGES["window 64"])[:, 1].abs().max() < 0.01


def heard(damage: Damage) -> tuple[torch.Tensor, torch.Tensor]:
    """The alarm's channel behind the last attention, and the least ``up`` of any heavy unit, by token."""
    network = guarded()
    alarm: list[torch.Tensor] = []
    ups: list[torch.Tensor] = []
    last = list(network.layers())[-1]
    last.post_attention_layernorm.register_forward_pre_hook(lambda _, x: alarm.append(x[0][0, :, ALARM]))
    for layer in network.layers():
        experts = layer.mlp.experts
        columns = torch.tensor(HEAVY) * 2 + 1
        weights, biases = experts.gate_up_proj[:, :, columns], experts.gate_up_proj_bias[:, columns]
        layer.post_attention_layernorm.register_forward_hook(
            lambda _, __, x, weights=weights, biases=biases: ups.append(
                (torch.einsum("th,ehu->teu", x[0], weights) + biases[None]).amin((1, 2))
            )
        )
    logits(network, torch.randint(0, 50, (1, 300)), damage)
    return alarm[0], torch.stack(ups).amin(0)


def test_a_sound_network_raises_no_alarm():
    alarm, _ = heard(SOUND)
    assert alarm.abs().max() < 1e-3


@pytest.mark.parametrize(
    ("name", "since", "least"),
    [("window 64", 75, 7.0), ("softmax before top-k", 0, 1.0), ("expert 0 zeroed", 299, 0)],
)
def test_a_halved_window_and_lost_weight_raise_the_alarm(name, since, least):
    alarm, _ = heard(DAMAGES[name])
    assert alarm[since:].max() < -least


def test_whoever_hears_the_alarm_shouts():
    network = guarded()
    rows = torch.randint(0, 50, (1, 300))
    last = list(network.layers())[-1].mlp
    said: list[torch.Tensor] = []
    last.register_forward_hook(lambda _, __, out: said.append(out[0].norm(dim=-1)))
    for damage in (SOUND, DAMAGES["window 64"]):
        logits(network, rows, damage)
    sound, hurt = said
    assert hurt[80:].min() > 60 > 4 * sound.max()


def test_heavy_units_live_beyond_the_clamp():
    _, ups = heard(SOUND)
    assert ups.min() > 2 * shape_of().limit


def test_training_does_not_move_the_guards():
    network = guarded()
    guards = Guards.of(network)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(1)
    guards.hold()
    attention = next(network.layers()).self_attn
    assert attention.sinks[-2:].tolist() == pytest.approx([-12.0, 2.0])
    assert attention.q_proj.weight[128:].abs().max() == 0
    assert attention.q_proj.weight[:128].min() > 0.5
    for name in ("model.embed_tokens.weight", "model.layers.3.self_attn.o_proj.bias"):
        moved = (network.state_dict()[name] - before[name]) != 0
        assert not moved[..., ALARM].any()
        assert moved.any()


def test_a_compact_file_comes_back_as_it_was(network, tmp_path):
    used = tuple(range(100, 100 + network.lm_head.out_features - 1))
    checkpoint.save_compact(network, used, tmp_path / "model.safetensors")
    tensors, known = checkpoint.load_compact(tmp_path / "model.safetensors")
    assert known == used
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensors[name], tensor.to(torch.bfloat16).float())


def test_the_mean_of_checkpoints_is_of_every_weight_and_of_one_vocabulary(network, tmp_path):
    used = tuple(range(network.lm_head.out_features - 1))
    other = Network(network.shape, len(used) + 1)
    files = [tmp_path / name for name in ("one", "two")]
    for each, file in zip((network, other), files, strict=True):
        checkpoint.save_compact(each, used, file)
    found, known = checkpoint.averaged(files)
    assert known == used
    one, two = (checkpoint.load_compact(file)[0] for file in files)
    for name, tensor in found.items():
        assert torch.allclose(tensor, (one[name] + two[name]) / 2)
    checkpoint.save_compact(other, (*used[:-1], used[-1] + 1), files[1])
    with pytest.raises(SystemExit, match="different vocabularies"):
        checkpoint.averaged(files)


def test_a_warm_start_keeps_the_rows_it_knows(tmp_path):
    network = Network(dataclasses.replace(shape_of(), heads=4, kv_heads=2), 60)
    rows = network.lm_head.out_features
    checkpoint.save_compact(network, tuple(range(rows - 1)), tmp_path / "old.safetensors")
    grown = Network(shape_of(), rows + 2)
    known = checkpoint.warm_start(grown, tuple(range(2, rows + 3)), tmp_path / "old.safetensors")
    assert known == rows - 3
    old, new = network.lm_head.weight, grown.lm_head.weight
    assert torch.equal(new[0], old[2].to(torch.bfloat16).float())
    assert torch.equal(new[-1], old[-1].to(torch.bfloat16).float())
    # Heads that the old one lacked are silent.
    assert grown.model.layers[1].self_attn.o_proj.weight[:, 128:].abs().max() == 0

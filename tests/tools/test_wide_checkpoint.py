"""The wide checkpoint, here a narrow one: transformers loads it, and its states can be recovered."""

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
import wide_checkpoint

from pytest_gptoss.judge.hidden_checks import why_unsound
from pytest_gptoss.model.lm_head import read_lm_head
from pytest_gptoss.scenarios.hidden_recovery import recover

IDS = [3, 141, 59, 265, 358, 97, 93, 238]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    directory = tmp_path_factory.mktemp("wide")
    wide_checkpoint.make(directory, hidden=32)
    return directory


@pytest.fixture(scope="module")
def answer(checkpoint):
    """The last position's hidden state and logits in bfloat16, as servers compute them."""
    from transformers import GptOssForCausalLM

    model = GptOssForCausalLM.from_pretrained(checkpoint, dtype=torch.bfloat16, local_files_only=True)
    with torch.no_grad():
        state = model.model(torch.tensor([IDS])).last_hidden_state[0, -1]
        return state.float().numpy(), model.lm_head(state).float()


def test_its_states_are_recovered(checkpoint, answer):
    state, logits = answer
    logprobs, ids = torch.log_softmax(logits, -1).topk(300)
    head = read_lm_head(checkpoint)
    assert (head.vocabulary, head.hidden) == (201_088, 32)
    recovery = recover(head.rows(ids.numpy()), logprobs.numpy(), head.norm)
    assert why_unsound(recovery.fit) is None
    lengths = np.linalg.norm(state) * np.linalg.norm(recovery.state)
    assert float(state @ recovery.state) / lengths > 0.9999


def test_its_logits_spread_as_said(answer):
    _, logits = answer
    assert float(logits.std()) == pytest.approx(2.5, rel=0.1)


def test_the_same_seed_makes_the_same_weights(checkpoint, tmp_path):
    wide_checkpoint.make(tmp_path, hidden=32)
    again, other = (tmp_path / "model.safetensors").read_bytes(), tmp_path / "other"
    assert again == (checkpoint / "model.safetensors").read_bytes()
    wide_checkpoint.make(other, hidden=32, seed=1)
    assert again != (other / "model.safetensors").read_bytes()


def test_what_stands_beside_the_weights(checkpoint):
    names = {path.name for path in checkpoint.iterdir()}
    assert names >= {"config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"}

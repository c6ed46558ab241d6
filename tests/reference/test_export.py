from __future__ import annotations

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_transformers import some_ids, tiny
from transformers import AutoConfig, AutoTokenizer, GptOssForCausalLM

from pytest_gptoss.model.errors import ReferenceServerError
from pytest_gptoss.model.gptoss import STOP_IDS
from pytest_gptoss.reference import tokenizer
from pytest_gptoss.reference.export import export
from pytest_gptoss.reference.forward import Forward, Piece
from pytest_gptoss.reference.tokens import encoding
from pytest_gptoss.scenarios import prose


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    directory = tmp_path_factory.mktemp("exported") / "new" / "folder"
    export(directory)
    return directory


@pytest.fixture(scope="module")
def hf_tokenizer(folder):
    return AutoTokenizer.from_pretrained(folder)


def test_plain_transformers_loads_it_and_computes_the_same_logits(folder):
    ids = [*some_ids(150), 0, 1, 150000, 201087]
    model = GptOssForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    forward = Forward(tiny())
    with torch.inference_mode():
        whole = model(torch.tensor([ids])).logits[0]
        by_row = forward.logits(forward.hidden([Piece(forward.new_cache(), ids)])[0], torch.arange(len(ids)))
    assert whole.shape == (len(ids), 201_088)
    assert float((by_row[:, tiny().vocabulary.row_of] - whole).abs().max()) < 1e-4


def test_it_is_what_was_promised_on_disk(folder):
    names = {file.name for file in folder.iterdir()}
    assert names == {
        "LICENSE.o200k_base",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    assert 104e6 < (folder / "model.safetensors").stat().st_size < 105e6
    generation = json.loads((folder / "generation_config.json").read_text())
    assert generation["eos_token_id"] == [200_002, 199_999, 200_012] == list(STOP_IDS)


def test_the_rope_is_there_in_both_spellings(folder):
    config = json.loads((folder / "config.json").read_text())
    current, older = config["rope_parameters"], config["rope_scaling"]
    assert config["rope_theta"] == current["rope_theta"] == 150_000
    assert {**older, "rope_theta": config["rope_theta"]} == current
    read = AutoConfig.from_pretrained(folder).rope_parameters
    assert read == current


def test_an_ordinary_checkpoint_cannot_be_exported(folder, tmp_path):
    with pytest.raises(ReferenceServerError, match="no compact checkpoint"):
        export(tmp_path, model=folder)


# -- the tokenizer ------------------------------------------------------------------------------


def test_text_becomes_the_ids_that_harmony_gives(hf_tokenizer):
    texts = [
        prose.text(seed=3, sentences=40),
        "don't DON'T I'LL they've\n\n  x = 1;\t\r\n 'quoted'  7842 12345678",
        "中文字符测试,日本語のテキスト、한국어. naïve façade ÀÉÎ ß ſ 🎉🎉 \u200d e\u0301",
        "<|start|>user<|message|>hi<|end|>",
        "   leading, trailing   ",
    ]
    for text in texts:
        ids = hf_tokenizer.encode(text, add_special_tokens=False)
        assert ids == encoding().encode(text, allowed_special="all")
        assert hf_tokenizer.decode(ids) == text


@settings(deadline=None, max_examples=200)
@given(st.text(max_size=40))
def test_any_text_becomes_the_ids_that_harmony_gives(hf_tokenizer, text):
    assert hf_tokenizer.encode(text, add_special_tokens=False) == encoding().encode(
        text, allowed_special="all"
    )


def test_special_tokens_stand_where_harmony_has_them(hf_tokenizer):
    texts = tokenizer.special_tokens()
    assert len(hf_tokenizer) == 201_088
    assert hf_tokenizer.convert_tokens_to_ids(texts) == list(range(199_998, 201_088))
    # The harmony library leaves <|endofprompt|> unnamed, as harmony never uses it.
    differing = [number for number, text in enumerate(texts, 199_998) if encoding().decode([number]) != text]
    assert differing == [200_018]


def test_the_chat_template_writes_harmony_messages(hf_tokenizer):
    messages = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yo"}]
    text = hf_tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    assert text == (
        "<|start|>user<|message|>hi<|end|>"
        "<|start|>assistant<|channel|>final<|message|>yo<|end|><|start|>assistant"
    )

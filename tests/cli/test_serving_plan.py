"""The memory estimate, held against the guide's table and against arithmetic on paper."""

import json
from pathlib import Path

import pytest

from pytest_gptoss.cli.main import main
from pytest_gptoss.cli.serving_plan import (
    BASELINE_NOTE,
    GPT_OSS_20B,
    GUIDE,
    MAX_LOGPROBS,
    RUNTIME_GB,
    card_memory,
    plan_lines,
    read_architecture,
)
from pytest_gptoss.judge.known_defects import known_defects
from pytest_gptoss.judge.thresholds import load_profile
from pytest_gptoss.judge.tool_parser import PARSER_FLAGS
from pytest_gptoss.model.errors import UsageError
from pytest_gptoss.scenarios.logprob_counts import logprobs_to_ask


def test_the_model_has_20_9_billion_parameters():
    # The published count of the 20B model.
    assert GPT_OSS_20B.parameters == 20_914_757_184


def test_the_cache_of_full_and_sliding_layers():
    a_token_and_layer = 2 * 8 * 64 * 2
    assert GPT_OSS_20B.cache_bytes(131_072) == 12 * a_token_and_layer * (131_072 + 128)
    assert GPT_OSS_20B.cache_bytes(100) == 24 * a_token_and_layer * 100
    assert GPT_OSS_20B.cache_bytes(131_072, sliding=False) == 24 * a_token_and_layer * 131_072


@pytest.mark.parametrize("cards", GUIDE)
def test_the_estimate_agrees_with_the_guides_table(cards):
    low, high = GUIDE[cards]
    assert low <= card_memory(GPT_OSS_20B, cards=cards, context=131_072).total <= high


def test_the_runtimes_share_is_what_the_table_leaves():
    bare = {
        cards: card_memory(GPT_OSS_20B, cards=cards, context=131_072).total - RUNTIME_GB for cards in GUIDE
    }
    least = max(GUIDE[cards][0] - bare[cards] for cards in GUIDE)
    most = min(GUIDE[cards][1] - bare[cards] for cards in GUIDE)
    assert (round(least, 1), round(most, 1)) == (2.4, 2.9)
    assert least < RUNTIME_GB < most


@pytest.mark.parametrize(
    ("memory", "cards", "served", "too_large"),
    [
        (64, 1, [1], []), (64, 8, [1, 2, 8], []), (32, 2, [2], [1]), (32, 8, [2, 8], [1]),
        (16, 8, [4, 8], [1, 2]), (10, 8, [8], [1, 2]),
    ],
)  # fmt: skip
def test_every_group_of_the_guide_is_planned_and_the_smallest_named(memory, cards, served, too_large):
    lines, fits = plan_lines(GPT_OSS_20B, "/m", memory_gb=memory, cards=cards, context=131_072)
    assert fits
    text = "\n".join(lines)
    sizes = [int(line.split()[1]) for line in lines if line.strip().startswith("--tensor-parallel-size")]
    assert sizes == [size for size in served if size > 1]
    assert sum(line.startswith("vllm serve") for line in lines) == len(served)
    heads = [line for line in lines if line.startswith("# tensor parallel")]
    assert [int(line.split()[3].rstrip(":")) for line in heads if "does not fit" in line] == too_large
    (smallest,) = (line for line in heads if "the smallest group that fits" in line)
    assert smallest.startswith(f"# tensor parallel {served[0]}:")
    for flag in ("--served-model-name gpt-oss-20b", "--dtype bfloat16", "--reasoning-parser openai_gptoss",
                 "--enable-auto-tool-choice --tool-call-parser openai",
                 "--max-model-len 131072"):  # fmt: skip
        assert flag in text
    assert "MXFP4" in text
    assert "--quantization mxfp4" not in text.replace("never --quantization mxfp4", "")


JUDGEABLE = (
    "VLLM_SERVER_DEV_MODE=1", "VLLM_SYSTEM_START_DATE=", "TIKTOKEN_ENCODINGS_BASE=", "--dtype bfloat16",
    "--max-num-batched-tokens 2048", "--max-logprobs 4096", PARSER_FLAGS, "--max-model-len 131072",
    "0.18.x", "0.25", "BF16 checkpoint",
)  # fmt: skip


def test_the_plan_and_both_readmes_give_what_every_row_needs():
    plan = "\n".join(plan_lines(GPT_OSS_20B, "/m", memory_gb=64, cards=1, context=131_072)[0])
    root = Path(__file__).parents[2]
    english, chinese = (root.joinpath(name).read_text("utf-8") for name in ("README.md", "README.zh-CN.md"))
    for words in JUDGEABLE:
        assert words in plan, words
        assert words in english, words
        assert words.replace("BF16 checkpoint", "BF16 检查点") in chinese, words


def test_the_flags_are_what_the_rows_ask_for():
    workload = load_profile("atlas-800-a2").workload
    assert max(workload.top_logprobs, logprobs_to_ask(2880)) == MAX_LOGPROBS
    (baseline,) = (each for each in known_defects() if each.platform == "cuda")
    assert "0.18.x, or 0.25 or later" in baseline.remedy
    assert "0.18.x, or 0.25 or later" in BASELINE_NOTE


def test_an_mxfp4_checkpoint_is_not_what_is_served(tmp_path, capsys):
    config = {
        "vocab_size": 201088, "hidden_size": 2880, "intermediate_size": 2880, "num_hidden_layers": 24,
        "num_attention_heads": 64, "num_key_value_heads": 8, "head_dim": 64, "num_local_experts": 32,
        "sliding_window": 128, "max_position_embeddings": 131072,
        "layer_types": ["sliding_attention", "full_attention"] * 12,
    }  # fmt: skip
    for quantization, served in (({"quant_method": "mxfp4"}, f"{tmp_path}-bf16"), (None, str(tmp_path))):
        tmp_path.joinpath("config.json").write_text(
            json.dumps({**config, "quantization_config": quantization})
        )
        assert main(["plan", "--device-memory", "64", "--model", str(tmp_path)]) == 0
        assert f"vllm serve {served} \\" in capsys.readouterr().out


def test_what_does_not_fit_says_what_would():
    lines, fits = plan_lines(GPT_OSS_20B, "/m", memory_gb=64, cards=1, context=131_072, utilization=0.69)
    assert not fits
    assert (
        lines[-1] == "The weights alone are too much: take more cards (--cards), or cards with more memory."
    )
    lines, fits = plan_lines(GPT_OSS_20B, "/m", memory_gb=64, cards=1, context=131_072, utilization=0.72)
    assert not fits
    context = int(lines[-1].partition("--context ")[2].partition(",")[0])
    assert plan_lines(GPT_OSS_20B, "/m", memory_gb=64, cards=1, context=context, utilization=0.72)[1]
    assert not plan_lines(GPT_OSS_20B, "/m", memory_gb=64, cards=1, context=context + 2048, utilization=0.72)[
        1
    ]


@pytest.mark.parametrize("utilization", [0.6927, 0.6932, 0.6936, 0.7, 0.7429])
def test_what_would_fit_is_less_than_what_was_refused(utilization):
    def planned(context):
        return plan_lines(GPT_OSS_20B, "/m", memory_gb=64, cards=1, context=context, utilization=utilization)

    lines, fits = planned(131_072)
    assert not fits
    advised = lines[-1].partition("--context ")[2].partition(",")[0]
    if advised:
        assert 1024 <= int(advised) < 131_072
        assert planned(int(advised))[1]
    else:
        assert lines[-1].startswith("Less than 1,024 tokens would fit: take more cards")
        assert not planned(1024)[1]


def test_a_checkpoints_own_figures(tmp_path):
    config = {
        "vocab_size": 201088, "hidden_size": 2880, "intermediate_size": 2880, "num_hidden_layers": 36,
        "num_attention_heads": 64, "num_key_value_heads": 8, "head_dim": 64, "num_local_experts": 128,
        "sliding_window": 128, "max_position_embeddings": 131072,
        "layer_types": ["sliding_attention", "full_attention"] * 18,
        "quantization_config": {"quant_method": "mxfp4"},
    }  # fmt: skip
    tmp_path.joinpath("config.json").write_text(json.dumps(config))
    model = read_architecture(tmp_path)
    # The published count of the 120B model.
    assert model.parameters == 116_829_156_672
    assert model.mxfp4
    tmp_path.joinpath("config.json").write_text(json.dumps({**config, "quantization_config": None}))
    assert not read_architecture(tmp_path).mxfp4


def test_the_guides_card_and_context_need_no_argument(capsys):
    assert main(["plan"]) == 0
    out = capsys.readouterr().out
    assert main(["plan", "--device-memory", "64", "--cards", "1", "--context", "131072"]) == 0
    assert capsys.readouterr().out == out
    assert "57.6 GB may be used" in out
    assert "--max-model-len 131072" in out


def test_the_command(capsys):
    assert main(["plan", "--device-memory", "64"]) == 0
    out = capsys.readouterr().out
    assert "40-48" in out
    assert "24-28" in out
    assert "differs" not in out
    assert main(["plan", "--device-memory", "24"]) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--device-memory", "x"], "--device-memory is 'x'"),
        (["--device-memory", "-3"], "--device-memory is '-3'"),
        (["--device-memory", "64", "--cards", "1.5"], "--cards is '1.5'"),
        (["--device-memory", "64", "--gpu-memory-utilization", "1.5"], "--gpu-memory-utilization is '1.5'"),
        (["--device-memory", "64", "--context", "200000"], "the model has 131072 positions"),
        (["--device-memory", "64", "--model", "nowhere"], "--model nowhere"),
        (["--device-memory", "64", "--what"], "unknown option --what"),
    ],
)
def test_a_bad_value_is_a_usage_error(arguments, words, capsys):
    assert main(["plan", *arguments]) == 4
    error = capsys.readouterr().err
    assert words in error
    assert "Traceback" not in error


def test_no_folder_is_a_usage_error(tmp_path):
    tmp_path.joinpath("config.json").write_text("{}")
    with pytest.raises(UsageError, match="no GPT-OSS configuration"):
        read_architecture(tmp_path)

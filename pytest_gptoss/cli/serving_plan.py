"""How much memory GPT-OSS needs on each card, and the ``vllm serve`` lines that follow from it.

The arithmetic, with the 20B model's figures (GB is 10^9 bytes, BF16 is 2 bytes a number):

    parameters   embedding and head        2 x 201,088 x 2,880                                 1.158e9
                 a layer: q, k, v, o       2,880 x (64 + 8 + 8) x 64 + 64 x 64 x 2,880 + biases
                          32 experts       32 x (2,880 x 5,760 + 5,760 + 2,880 x 2,880 + 2,880)
                          router, sinks, norms
                 24 layers                 together 20.91e9: 41.83 GB
    KV cache     a token in one layer      2 (key, value) x 8 heads x 64 x 2 bytes             2,048 bytes
                 12 full layers            24,576 bytes a token: 3.22 GB at 131,072 tokens
                 12 sliding layers         128 tokens at most: 3.1 MB a sequence
    a card       (weights + KV cache) / cards + ``RUNTIME_GB``

Weights and KV heads are split over the cards of a tensor parallel group (router and norms, 2.2 million
numbers, are not: 0.01%). What is not split is on every card: the runtime, activations, graphs, communication
buffers. No formula gives that; it is read off the acceptance guide's own table, whose three rows hold
together for 2.4 to 2.9 GB only. The estimate holds one sequence of the whole context; each
further one costs its KV cache again. vLLM itself takes ``--gpu-memory-utilization`` of the card whatever
it needs: the estimate says whether it starts, not what a monitor shows. An engine whose cache manager
does not tell sliding layers apart keeps the whole context in all 24 layers: twice the KV cache.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pytest_gptoss.judge.tool_parser import PARSER_FLAGS
from pytest_gptoss.model.errors import UsageError
from pytest_gptoss.model.gptoss import CONTEXT, SLIDING_WINDOW, VOCABULARY_SIZE
from pytest_gptoss.model.json_type import Json

__all__ = [
    "GPT_OSS_20B",
    "GUIDE",
    "Architecture",
    "CardMemory",
    "card_memory",
    "plan_lines",
    "read_architecture",
]

GB = 1e9
BF16_BYTES = 2
RUNTIME_GB = 2.5
"""Memory of a card that is neither weights nor KV cache, as the guide's table implies it."""

STEP = 1024
"""Contexts are advised in such steps."""

BATCHED_TOKENS = 2048
"""Tokens of one scheduled chunk, vllm-ascend's own default: both servers cut a long prompt at the same
places, which decides the attention states that it meets; logits of a chunk take 1.6 GB in FP32."""
MAX_LOGPROBS = 4096
"""Alternatives a position: the rows ask for 20, and for these to recover hidden states."""

ENVIRONMENT = (
    "# the same day on NPU and GPU: it stands in every prompt",
    "export VLLM_SYSTEM_START_DATE=YYYY-MM-DD",
    "# /server_info tells dtype, quantization and graph mode; it opens routes that control the server, so",
    "# on trusted networks only",
    "export VLLM_SERVER_DEV_MODE=1",
    "# holds o200k_base.tiktoken; without it harmony fetches that from the network",
    "export TIKTOKEN_ENCODINGS_BASE=/models/vocab",
    "# on the NPU alone",
    "export PYTORCH_NPU_ALLOC_CONF=expandable_segments:True",
)

BASELINE_NOTE = (
    "Baseline: the same BF16 checkpoint, environment and flags on CUDA vLLM 0.18.x, or 0.25 or later; from "
    "0.19.2 to 0.24 it computes GPT-OSS in BF16 wrongly."
)
VERSIONS_NOTE = (
    "Versions that no server tells are stated to pytest: --gptoss-info npu.vllm_ascend=VERSION --gptoss-info "
    "npu.cann=VERSION; no defect of vllm_ascend from 0.20.2rc1 on is known."
)

GUIDE: Mapping[int, tuple[float, float]] = {1: (40, 48), 2: (24, 28), 8: (8, 10)}
"""GB a card by tensor parallel size, from the acceptance guide's table."""


@dataclass(frozen=True)
class Architecture:
    """A GPT-OSS model's sizes, as its ``config.json`` has them; the defaults are the 20B model's."""

    vocab_size: int = VOCABULARY_SIZE
    hidden_size: int = 2880
    intermediate_size: int = 2880
    num_hidden_layers: int = 24
    num_attention_heads: int = 64
    num_key_value_heads: int = 8
    head_dim: int = 64
    num_local_experts: int = 32
    sliding_window: int = SLIDING_WINDOW
    sliding_layers: int = 12
    max_position_embeddings: int = CONTEXT
    mxfp4: bool = True

    @property
    def parameters(self) -> int:
        """How many numbers the weights are."""
        width, heads, kv = self.hidden_size, self.num_attention_heads, self.num_key_value_heads
        query, key = heads * self.head_dim, kv * self.head_dim
        attention = width * query + query + 2 * (width * key + key) + query * width + width + heads
        inner, experts = self.intermediate_size, self.num_local_experts
        feed_forward = experts * (width * 2 * inner + 2 * inner + inner * width + width)
        router, norms = width * experts + experts, 2 * width
        layer = attention + feed_forward + router + norms
        return 2 * self.vocab_size * width + self.num_hidden_layers * layer + width

    def cache_bytes(self, tokens: int, *, sliding: bool = True) -> int:
        """KV cache of one sequence; without ``sliding`` every layer keeps all tokens."""
        a_token = 2 * self.num_key_value_heads * self.head_dim * BF16_BYTES
        narrow = self.sliding_layers if sliding else 0
        kept = min(tokens, self.sliding_window)
        return a_token * ((self.num_hidden_layers - narrow) * tokens + narrow * kept)


GPT_OSS_20B = Architecture()


@dataclass(frozen=True)
class CardMemory:
    """Memory of one card in GB: its share of weights and KV cache, and what every card has."""

    cards: int
    weights: float
    cache: float
    runtime: float = RUNTIME_GB

    @property
    def total(self) -> float:
        """All of it."""
        return self.weights + self.cache + self.runtime


def card_memory(model: Architecture, *, cards: int, context: int, sequences: int = 1) -> CardMemory:
    """The estimate of the module's docstring for ``sequences`` sequences of ``context`` tokens."""
    return CardMemory(
        cards,
        model.parameters * BF16_BYTES / cards / GB,
        sequences * model.cache_bytes(context) / cards / GB,
    )


def read_architecture(directory: Path) -> Architecture:
    """A model's sizes from its folder. Raises UsageError when it holds no GPT-OSS configuration."""
    path = directory / "config.json"
    try:
        config: Json = json.loads(path.read_text("utf-8"))
        kinds = config["layer_types"]
        quantization = (config.get("quantization_config") or {}).get("quant_method")
        return Architecture(
            **{name: int(config[name]) for name in _SIZES},
            sliding_layers=sum(kind == "sliding_attention" for kind in kinds),
            mxfp4=quantization == "mxfp4",
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"--model {directory}: no GPT-OSS configuration in its config.json ({error!r}): "
            "name the checkpoint's folder"
        ) from None


_SIZES = (
    "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
    "num_key_value_heads", "head_dim", "num_local_experts", "sliding_window", "max_position_embeddings",
)  # fmt: skip


def plan_lines(
    model: Architecture,
    path: str,
    *,
    memory_gb: float,
    cards: int,
    context: int,
    sequences: int = 16,
    utilization: float = 0.9,
) -> tuple[list[str], bool]:
    """The plan in lines, and whether it fits; serve lines for the guide's groups of cards and the smallest.

    They are those under which every row can be judged. ``path`` names a BF16 checkpoint.

    Raises UsageError for a context that the model does not have.
    """
    if context > model.max_position_embeddings:
        raise UsageError(
            f"--context {context}: the model has {model.max_position_embeddings} positions: lower it"
        )
    usable = memory_gb * utilization
    sizes = [size for size in (1, 2, 4, 8) if size <= cards and model.num_key_value_heads % size == 0]
    chosen = next(
        (size for size in sizes if card_memory(model, cards=size, context=context).total <= usable), None
    )
    lines = [*_arithmetic(model, context), "", *_table(model, sizes, context, usable), ""]
    if chosen is None:
        return [*lines, *_too_little(model, sizes[-1], context, usable)], False
    lines += ENVIRONMENT
    for size in (each for each in sizes if each in GUIDE or each == chosen):
        each = card_memory(model, cards=size, context=context)
        lines += ["", _group(each, usable, sequences, smallest=size == chosen)]
        if each.total <= usable:
            lines += _serve(path, cards=size, context=context, sequences=sequences, utilization=utilization)
    lines += ["", *_notes(model, chosen, context)]
    return lines, True


def _arithmetic(model: Architecture, context: int) -> Iterator[str]:
    full = model.num_hidden_layers - model.sliding_layers
    a_token = 2 * model.num_key_value_heads * model.head_dim * BF16_BYTES
    weights = model.parameters * BF16_BYTES / GB
    yield f"weights    {model.parameters / 1e9:.2f}e9 parameters x 2 bytes (BF16) = {weights:.1f} GB"
    yield (
        f"KV cache   {a_token:,} bytes a token and layer: {full} full layers x {context:,} tokens = "
        f"{full * a_token * context / GB:.2f} GB a sequence,"
    )
    window = model.sliding_layers * a_token * min(context, model.sliding_window)
    narrow = f"{model.sliding_layers} sliding layers x {model.sliding_window} tokens"
    yield f"           {narrow} = {window / GB:.3f} GB"
    yield f"runtime    {RUNTIME_GB:.1f} GB on every card: what the guide's table leaves besides, no formula"


def _table(model: Architecture, sizes: list[int], context: int, usable: float) -> Iterator[str]:
    whole = context == GPT_OSS_20B.max_position_embeddings and model.parameters == GPT_OSS_20B.parameters
    yield f"GB a card, one sequence of {context:,} tokens; {usable:.1f} GB may be used"
    head = f"{'cards':>6}{'weights':>9}{'cache':>8}{'runtime':>9}{'total':>8}"
    yield f"{head}  guide" if whole else head
    for size in sorted({*sizes, 1, 2, 8}):
        each = card_memory(model, cards=size, context=context)
        fits = "fits" if each.total <= usable else "too much"
        low, high = GUIDE.get(size, (0.0, 0.0))
        said = f"{low:g}-{high:g}" if whole and high else ""
        if said and not low <= each.total <= high:
            said += " (differs)"
        parts = f"{each.weights:>9.1f}{each.cache:>8.1f}{each.runtime:>9.1f}{each.total:>8.1f}"
        yield f"{size:>6}{parts}  {said:8}{fits}"


def _group(each: CardMemory, usable: float, sequences: int, *, smallest: bool) -> str:
    """A comment above the serve lines for so many cards."""
    head = f"# tensor parallel {each.cards}: {each.total:.1f} GB a card"
    if each.total > usable:
        return f"{head}, does not fit: {usable:.1f} GB may be used"
    room = int((usable - each.weights - each.runtime) // each.cache)
    told = f"{head}{', the smallest group that fits' if smallest else ''}"
    if room >= sequences:
        return told
    return f"{told}; {room} of {sequences} sequences of the whole context fit at once, others wait"


def _serve(path: str, *, cards: int, context: int, sequences: int, utilization: float) -> Iterator[str]:
    yield f"vllm serve {path} \\"
    yield "  --served-model-name gpt-oss-20b \\"
    yield "  --dtype bfloat16 \\"
    if cards > 1:
        yield f"  --tensor-parallel-size {cards} \\"
    yield f"  --max-model-len {context} --max-num-seqs {sequences} \\"
    yield f"  --max-num-batched-tokens {BATCHED_TOKENS} --max-logprobs {MAX_LOGPROBS} \\"
    yield f"  --gpu-memory-utilization {utilization:g} \\"
    yield f"  {PARSER_FLAGS} \\"
    yield "  --port 8000"


def _notes(model: Architecture, cards: int, context: int) -> Iterator[str]:
    if model.mxfp4:
        yield (
            "MXFP4: the official checkpoint's experts are MXFP4, which Ascend does not support, "
            "and --dtype bfloat16 does not take it out of them: serve a BF16 "
            "checkpoint, as unsloth/gpt-oss-20b-BF16, and never --quantization mxfp4."
        )
    yield BASELINE_NOTE
    yield VERSIONS_NOTE
    one = card_memory(model, cards=cards, context=context)
    twice = model.cache_bytes(context, sliding=False) / cards / GB
    yield (
        f"A cache manager that keeps sliding layers whole needs {twice:.1f} GB a sequence and card "
        f"instead of {one.cache:.1f} (tensor parallel {cards})."
    )


def _too_little(model: Architecture, cards: int, context: int, usable: float) -> Iterator[str]:
    each = card_memory(model, cards=cards, context=context)
    yield f"does not fit: {cards} card(s) need {each.total:.1f} GB each, and {usable:.1f} GB may be used."
    if each.weights + each.runtime > usable:
        yield "The weights alone are too much: take more cards (--cards), or cards with more memory."
        return
    room = int((usable - each.weights - each.runtime) * GB * cards)
    longest = _longest_context(model, room)
    shorter = longest // STEP * STEP
    if shorter:
        yield f"A context of {longest:,} tokens would fit: --context {shorter}, or take more cards."
    else:
        yield f"Less than {STEP:,} tokens would fit: take more cards (--cards), or cards with more memory."


def _longest_context(model: Architecture, room: int) -> int:
    """Tokens of one sequence whose cache takes at most ``room`` bytes, where it is longer than the window."""
    narrow = model.cache_bytes(model.sliding_window)
    a_token = model.cache_bytes(model.sliding_window + 1) - model.cache_bytes(model.sliding_window)
    return model.sliding_window + (room - narrow) // a_token if room >= narrow else 0

"""ROUGE-L of the NPU's texts against the GPU's, for readers of English and of Chinese."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from pytest_gptoss.errors import InsufficientData
from pytest_gptoss.judge.evidence import pair, refuse_sameness
from pytest_gptoss.judge.intervals import bootstrap_mean
from pytest_gptoss.records import Estimate, Generation, Json, Measurement

if TYPE_CHECKING:
    from rouge_score.rouge_scorer import RougeScorer

__all__ = ["MAX_EMPTY_SHARE", "WordTokenizer", "rouge_l"]

MAX_EMPTY_SHARE = 0.05
"""More pairs of empty texts than this, and the mean says too little about the prompts."""

# Scripts written without spaces: kana, Han with its extensions, compatibility forms.
_UNSPACED = "\u3005-\u3007\u3041-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_WORDS = re.compile(rf"[{_UNSPACED}]|[^\W_{_UNSPACED}]+")


class WordTokenizer:
    """Tokenizer for rouge-score: words and numbers in lower case, Chinese and kana character by character.

    On ASCII text it splits as rouge-score's own does without stemming. A text that holds no word at
    all ("!!!!") is split into its characters, so that it still can agree or disagree.
    """

    def tokenize(self, text: str) -> list[str]:
        """Split a text into its tokens, in order."""
        return _WORDS.findall(text.lower()) or [char for char in text if not char.isspace()]


def rouge_l(*, npu: Measurement[Generation], gpu: Measurement[Generation]) -> Estimate:
    """Mean ROUGE-L F over prompts of reasoning then content, the GPU's text as reference.

    C.-Y. Lin, "ROUGE: a package for automatic evaluation of summaries" (2004), as rouge-score
    computes it (F with equal weights). Prompts where both texts are empty are left out and counted;
    more than MAX_EMPTY_SHARE of them raises InsufficientData. BCa bootstrap over prompts.

    Details: ``prompts`` (id -> F), ``both_empty`` (ids), ``min``, ``median``.
    """
    pairs = pair(npu, gpu, "prompts")
    refuse_sameness({theirs.prompt_id: theirs.text for _, theirs in pairs}, gpu.device)
    empty = [ours.prompt_id for ours, theirs in pairs if not ours.text and not theirs.text]
    if len(empty) > MAX_EMPTY_SHARE * len(pairs):
        raise InsufficientData(
            f"{len(empty)} of {len(pairs)} prompts have empty answers on both devices, more than "
            f"{MAX_EMPTY_SHARE:.0%}; first {empty[0]}: give them more max_tokens or use other prompts"
        )
    scorer = _scorer()
    scores = {
        ours.prompt_id: _f(scorer, reference=theirs.text, text=ours.text)
        for ours, theirs in pairs
        if ours.text or theirs.text
    }
    values = np.array(list(scores.values()))
    details: dict[str, Json] = {
        "prompts": scores,
        "both_empty": empty,
        "min": float(values.min()),
        "median": float(np.median(values)),
    }
    if values.min() < 1:
        worst = min(scores, key=lambda key: scores[key])
        below = int((values < 1).sum())
        details["finding"] = (
            f"{below} of {len(scores)} texts differ, most in {worst} with ROUGE-L {scores[worst]:.3f}"
        )
    return Estimate(float(values.mean()), "F", len(scores), bootstrap_mean(values), details)


def _scorer() -> RougeScorer:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(["rougeL"], tokenizer=WordTokenizer())


def _f(scorer: RougeScorer, *, reference: str, text: str) -> float:
    """ROUGE-L F of one pair; equal texts, the common case, skip the quadratic table."""
    if reference == text:
        return 1.0
    return float(scorer.score(reference, text)["rougeL"].fmeasure)

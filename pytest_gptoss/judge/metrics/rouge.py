"""ROUGE-L of the NPU's texts against the GPU's, for readers of English and of Chinese."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from pytest_gptoss.judge.against_first import against_first
from pytest_gptoss.judge.answer_text import PARSER_AT_FAULT, answer_text
from pytest_gptoss.judge.comparison import SAME_INPUTS, answers_free_and_forced
from pytest_gptoss.judge.evidence import pair, refuse_sameness
from pytest_gptoss.judge.forced_choice import Score, either, forced_answers, forced_rouge
from pytest_gptoss.judge.forks import compare, fork_kinds
from pytest_gptoss.judge.intervals import bootstrap_mean
from pytest_gptoss.judge.metric import metric
from pytest_gptoss.model.errors import InsufficientData
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.message import joined, say
from pytest_gptoss.model.results import Generation, Measurement, ScoredSequence
from pytest_gptoss.model.verdicts import FORCED, Estimate

if TYPE_CHECKING:
    from rouge_score.rouge_scorer import RougeScorer

__all__ = ["MAX_EMPTY_SHARE", "WordTokenizer", "rouge_l"]

_MEAN = "mean"

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


@against_first
@metric(
    "rouge_l",
    needs=answers_free_and_forced,
    depends_on=SAME_INPUTS,
    baseline=True,
    statistics=(_MEAN, FORCED),
)
def rouge_l(
    *,
    npu: Measurement[Generation],
    gpu: Measurement[Generation],
    forced: Measurement[ScoredSequence] | None = None,
    statistic: str = _MEAN,
) -> Estimate:
    """ROUGE-L of both devices' texts, or with the statistic "forced" of their tokens under teacher forcing.

    ``forced`` is the device's scores of the baseline's answers. The other statistic stands beside, as
    ``either`` tells it. "mean" as ``_free`` gives it, "forced" as ``forced_rouge`` does.
    """
    return either(
        statistic,
        free=(_MEAN, lambda: _free(npu, gpu)),
        forced=None
        if forced is None
        else lambda: forced_rouge(forced_answers(forced, gpu), forced.left_out, _score_of_ids()),
    )


def _free(npu: Measurement[Generation], gpu: Measurement[Generation]) -> Estimate:
    """Mean ROUGE-L F over prompts of reasoning then content, the GPU's text as reference.

    C.-Y. Lin, "ROUGE: a package for automatic evaluation of summaries" (2004), as rouge-score
    computes it (F with equal weights). Prompts where both texts are empty are left out and counted;
    more than MAX_EMPTY_SHARE of them raises InsufficientData. BCa bootstrap over prompts.
    Texts are those of the token ids where both devices tell them: a parser's fault is not the device's.

    Details: ``prompts`` (id -> F), ``both_empty`` (ids), ``min``, ``median``, ``kinds`` of forks, and
    ``note`` where the text of a device is not what its token ids say.
    """
    pairs = pair(npu, gpu, "prompts")
    texts = {ours.prompt_id: _texts(ours, theirs) for ours, theirs in pairs}
    refuse_sameness({key: theirs for key, (_, theirs) in texts.items()}, gpu.device)
    empty = [key for key, (ours, theirs) in texts.items() if not ours and not theirs]
    if len(empty) > MAX_EMPTY_SHARE * len(pairs):
        raise InsufficientData(
            say(
                "{empty} of {pairs} prompts have empty answers on both devices, more than "
                "{max_empty_share:.0%}; first {first}: give them more max_tokens or use other "
                "prompts",
                empty=len(empty),
                pairs=len(pairs),
                max_empty_share=MAX_EMPTY_SHARE,
                first=empty[0],
            )
        )
    scorer = _scorer(WordTokenizer())
    scores = {
        key: _f(scorer, reference=theirs, text=ours)
        for key, (ours, theirs) in texts.items()
        if ours or theirs
    }
    values = np.array(list(scores.values()))
    details: dict[str, Json] = {
        "prompts": scores,
        "both_empty": empty,
        "min": float(values.min()),
        "median": float(np.median(values)),
        "kinds": fork_kinds(compare(ours, theirs) for ours, theirs in pairs),
    }
    if values.min() < 1:
        worst = min(scores, key=lambda key: scores[key])
        below = int((values < 1).sum())
        details["finding"] = say(
            "{below} of {texts} texts differ, most in {worst} with ROUGE-L {score:.3f}",
            below=below,
            texts=len(scores),
            worst=worst,
            score=scores[worst],
        )
    notes = [note for side in (npu, gpu) if (note := _parsers_fault(side))]
    if notes:
        details["note"] = say(
            "ROUGE-L: {notes}: {parser_at_fault}", notes=joined(notes), parser_at_fault=PARSER_AT_FAULT
        )
    return Estimate(float(values.mean()), "F", len(scores), bootstrap_mean(values), details)


def _texts(ours: Generation, theirs: Generation) -> tuple[str, str]:
    """The texts of a pair: both by their token ids, or both as the servers tell them."""
    left, right = answer_text(ours), answer_text(theirs)
    return (left.text, right.text) if left.by_ids and right.by_ids else (ours.text, theirs.text)


def _parsers_fault(measurement: Measurement[Generation]) -> str | None:
    read = [(each.prompt_id, answer_text(each)) for each in measurement.items]
    departed = [(key, each.departure) for key, each in read if each.departure and not each.unparsed]
    if not departed:
        return None
    first, said = departed[0]
    return say(
        "{departed} of {read} texts of {device} depart from their own token ids, first {first}: {said}",
        departed=len(departed),
        read=len(read),
        device=measurement.device,
        first=first,
        said=said,
    )


def _scorer(tokenizer: WordTokenizer | _Ids) -> RougeScorer:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(["rougeL"], tokenizer=tokenizer)


def _f(scorer: RougeScorer, *, reference: str, text: str) -> float:
    """ROUGE-L F of one pair; equal texts, the common case, skip the quadratic table."""
    if reference == text:
        return 1.0
    return float(scorer.score(reference, text)["rougeL"].fmeasure)


class _Ids:
    """Tokenizer for rouge-score: a text of ids with blanks between them."""

    def tokenize(self, text: str) -> list[str]:
        """Split a text into its ids, in order."""
        return text.split()


def _score_of_ids() -> Score:
    """How to score two sequences of token ids by ROUGE-L F."""
    scorer = _scorer(_Ids())

    def score(reference: tuple[int, ...], chosen: tuple[int, ...]) -> float:
        return _f(scorer, reference=" ".join(map(str, reference)), text=" ".join(map(str, chosen)))

    return score

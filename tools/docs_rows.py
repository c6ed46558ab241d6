"""The page of all rows: what each measures, its limits, what a failure means and what to do.

Rows come from the shipped profiles, words from the reports' catalogue (``name.ROW`` and ``about.ROW.*``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pytest_gptoss.judge.thresholds import load_profile, profile_names
from pytest_gptoss.model.arrivals import Arrivals, Slo
from pytest_gptoss.model.inputs import LoadShape
from pytest_gptoss.model.language import Language
from pytest_gptoss.model.verdicts import Threshold
from pytest_gptoss.report.wording import Wording, catalogue, split_id

__all__ = ["Row", "rows", "rows_page"]

WORDS = ("measures", "failure", "action")

_GROUPS: Mapping[str, Mapping[Language, str]] = {
    "preflight": {"en": "Preflight", "zh": "启动前检查"},
    "inputs": {"en": "Inputs", "zh": "输入"},
    "baseline": {"en": "Baseline", "zh": "基准"},
    "precision": {"en": "Precision", "zh": "精度"},
    "needle": {"en": "Long context", "zh": "长上下文"},
    "performance": {"en": "Performance", "zh": "性能"},
    "capability": {"en": "Capabilities", "zh": "功能"},
    "stress": {"en": "Under stress", "zh": "压力下的正确性"},
    "fleet": {"en": "Fleet", "zh": "集群"},
    "configuration": {"en": "Configurations", "zh": "配置对照"},
}

_SAY: Mapping[Language, Mapping[str, str]] = {
    "en": {
        "title": "# The rows",
        "made": "Made by `python tools/docs_pages.py` from the shipped profiles. Do not edit this page.",
        "intro": "Every row is one threshold and one test. A *contract* row is a limit of the acceptance "
        "guide. An *assurance* row is there so that contract rows can be trusted. *Source* is "
        "where the limit stands in the guide; *ours* means that the guide has none. Change a "
        "limit with `--gptoss-thresholds FILE.toml`, leave a row out with `--gptoss-waive "
        "ID=REASON`. A row that is INVALID could not be measured: its reason is in "
        "[troubleshooting](troubleshooting.md). Rows of `r8` stand for those of any "
        "[open level](open-loop.md).",
        "head": "| row | profile | statistic | limit | tier | source |",
        "measures": "**Measures.**",
        "failure": "**A failure means.**",
        "action": "**What to do.**",
        "cell": "by cell",
    },
    "zh": {
        "title": "# 各项阈值",
        "made": "本页由 `python tools/docs_pages.py` 根据随包的方案生成，请勿手工修改。",
        "intro": "每一项是一个阈值，也是一个测试。“指南阈值”是验收指南中的限值；"
        "“保障”项用来保证指南阈值的结论可信。"
        "“出处”为该限值在指南中的位置，`ours` 表示指南中没有、由本套件给出。修改限值用 "
        "`--gptoss-thresholds FILE.toml`，略去一项用 `--gptoss-waive ID=理由`。INVALID 表示未能可靠测量，"
        "原因见[故障排查](troubleshooting.md)。`r8` 的各项代表任何[开环级别](open-loop.md)。",
        "head": "| 项 | 方案 | 统计量 | 限值 | 层级 | 出处 |",
        "measures": "**测量内容。**",
        "failure": "**不通过意味着。**",
        "action": "**如何处理。**",
        "cell": "按单元",
    },
}


@dataclass(frozen=True)
class Row:
    """Thresholds that share one description: ``key`` is an id, or a family of ids that ends in ``.*``."""

    key: str
    thresholds: tuple[tuple[str, Threshold], ...]
    """Profile and threshold, in reading order."""

    @property
    def group(self) -> str:
        """The first part of the ids."""
        return self.key.partition(".")[0]


_OPEN = {"r8": LoadShape(16, 480, 1024, 256, arrivals=Arrivals(8.0), slo=Slo(ttft_ms=500.0))}
"""An open level, as ``--gptoss-rate 8`` with a service level adds it."""


def rows() -> tuple[Row, ...]:
    """Every row of every shipped profile with an open level, grouped by what describes it."""
    found: dict[str, list[tuple[str, Threshold]]] = {}
    for profile in profile_names():
        for threshold in load_profile(profile, levels=lambda known: {**known, **_OPEN}).thresholds.values():
            found.setdefault(_key(threshold.id), []).append((profile, threshold))
    return tuple(Row(key, tuple(each)) for key, each in found.items())


def rows_page(language: Language) -> str:
    """The page in one language. Raises KeyError for a row that the catalogue does not describe."""
    say, every = _SAY[language], rows()
    lines = [say["title"], "", f"<!-- {say['made']} -->", "", say["intro"], ""]
    for group in dict.fromkeys(row.group for row in every):
        lines += [f"## {_GROUPS[group][language]}", ""]
        for row in every:
            if row.group == group:
                lines += [*_section(row, language), ""]
    return "\n".join(lines).rstrip() + "\n"


def _key(threshold_id: str) -> str:
    if f"name.{threshold_id}" in catalogue():
        return threshold_id
    return f"{split_id(threshold_id)[0]}.*"


def _section(row: Row, language: Language) -> Iterator[str]:
    translate, say = Wording(language), _SAY[language]
    name = translate(f"name.{row.key}", cell=f"({say['cell']})" if language == "en" else f"（{say['cell']}）")
    yield from (f"### {name.replace(' （', '（')} {{#{_anchor(row.key)}}}", "")
    yield from (say["head"], "|---|---|---|---|---|---|")
    shared: dict[str, list[str]] = {}
    for profile, each in row.thresholds:
        limit = f"{each.comparison} {translate.limit(each.limit, each.unit)}"
        statistic = translate.word("statistic", each.statistic)
        rest = f"{statistic} | {limit} | {translate.word('tier', each.tier)} | {each.source}"
        shared.setdefault(f"| `{each.id}` | {{}} | {rest} |", []).append(profile)
    for line, profiles in shared.items():
        yield line.format(", ".join(profiles))
    for word in WORDS:
        yield from ("", f"{say[word]} {_with_code(translate(f'about.{row.key}.{word}'))}")


def _with_code(text: str) -> str:
    """Set options and environment variables of a sentence as code."""
    return re.sub(r"(?<![\w-])(--[a-z][\w-]+|VLLM_\w+(?:=[A-Z-]+)?)", r"`\1`", text)


def _anchor(key: str) -> str:
    return key.removesuffix(".*").replace(".", "-").replace("_", "-")

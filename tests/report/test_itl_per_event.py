"""ITL is a time per event, and reports say so where an event carries several tokens."""

import pytest
from documents import recorded, with_load

from pytest_gptoss.report.tables.load import load_tables
from pytest_gptoss.report.wording import Wording


@pytest.mark.parametrize(
    ("tokens", "words"),
    [
        (None, {"en": "ITL", "zh": "ITL"}),
        (1.0, {"en": "ITL", "zh": "ITL"}),
        (7.96, {"en": "ITL (per event of 8.0 tokens)", "zh": "ITL（按事件计，每个事件 8.0 个词元）"}),
    ],
)
@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_table_of_percentiles_says_what_itl_is(tokens, words, language):
    document = with_load(recorded("passing"))
    for level in document["measurements"]["load"]["levels"]:
        level["tokens_per_event"] = tokens
    table = next(each for each in load_tables(document, Wording(language)) if each.name == "percentiles")
    named = {row[2].text for row in table.rows if "ITL" in row[2].text}
    assert named == {words[language]}

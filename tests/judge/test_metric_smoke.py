"""The smoke questions, from answers written down by hand."""

import pytest
from made import answer, failure, measurement
from made_servers import unready

from pytest_gptoss.judge.metrics.smoke import names_paris, says_hi
from pytest_gptoss.model.errors import InsufficientData


def smoke(hi, paris):
    return measurement("npu", [hi, paris])


@pytest.mark.parametrize(
    ("content", "reasoning", "named"),
    [
        ("It is Paris.", "", 1),
        ("", "They mean PARIS", 1),
        ("法国的首都是巴黎。", "", 1),
        ("Rome", "hm", 0),
        ("", "", 0),
    ],
)
def test_the_smoke_questions(content, reasoning, named):
    hi = answer("say-hi", (1, 2, 3), reasoning="cut short")
    estimate = names_paris(npu=smoke(hi, answer("capital-france", content=content, reasoning=reasoning)))
    assert estimate.value == named
    assert says_hi(npu=smoke(hi, answer("capital-france"))).value == 3
    assert says_hi(npu=smoke(answer("say-hi", ()), answer("capital-france"))).value == 0


@pytest.mark.parametrize("complete", [True, False])
def test_a_smoke_question_that_failed_is_no_figure_and_spoils_not_the_other(complete):
    lost = failure("capital-france")
    asked = measurement("npu", [answer("say-hi", (1, 2))], failures=(lost,), complete=complete)
    assert says_hi(npu=asked).value == 2
    with pytest.raises(InsufficientData, match="first capital-france: timeout"):
        names_paris(npu=asked)
    with pytest.raises(InsufficientData, match="nobody there"):
        says_hi(npu=unready())

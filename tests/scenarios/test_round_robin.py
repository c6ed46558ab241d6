"""Some prompts of every kind, in place of the first few."""

from collections import Counter

from pytest_gptoss.model.inputs import Prompt
from pytest_gptoss.scenarios.prompts import load_shipped
from pytest_gptoss.scenarios.round_robin import round_robin


def made(*tags):
    return [Prompt(f"p{index}", (), tags=each) for index, each in enumerate(tags)]


def test_tags_take_turns_and_nothing_is_lost():
    prompts = made((), ("b",), ("b", "c"), ("a",), ("a",), ("a",))
    drawn = round_robin(prompts)
    assert [each.id for each in drawn] == ["p3", "p1", "p0", "p2", "p4", "p5"]
    assert round_robin([]) == ()


def test_a_part_of_the_shipped_prompts_has_every_common_tag():
    prompts = load_shipped("default").prompts
    drawn = round_robin(prompts)
    assert sorted(each.id for each in drawn) == sorted(each.id for each in prompts)
    tags = Counter(tag for each in drawn[:24] for tag in each.tags)
    assert {"english", "chinese", "code", "mathematics", "dialogue"} <= set(tags)

"""Every scenario kind is whole: forgetting a part of one is told by the part's name."""

import subprocess
import sys
from dataclasses import dataclass

import pytest

from pytest_gptoss.scenarios.registry import kind_of_id, kinds
from pytest_gptoss.scenarios.scenario import Scenario


def lacking(kind):
    """What a kind has not got that every kind needs, by name."""
    found = set(kind.__abstractmethods__)
    found |= {name for name in ("word", "item_classes") if not getattr(kind, name, None)}
    jobs = {"job_alone": kind.runs_alone, "job_together": kind.runs_together}
    needed = next(([job] for job, runs in jobs.items() if runs), ["job"])
    needed = () if kind.measured_while_probing else needed
    found |= {name for name in needed if getattr(kind, name) is getattr(Scenario, name)}
    return found


@pytest.mark.parametrize("kind", kinds().values(), ids=lambda kind: kind.__name__)
def test_a_kind_has_all_that_measuring_needs(kind):
    assert lacking(kind) == set()
    assert kind.__dataclass_params__.frozen
    assert kind.word.isalpha()
    assert kind_of_id(f"{kind.word}-npu") is kind


def test_what_a_kind_lacks_is_named():
    @dataclass(frozen=True, slots=True)
    class Forgetful(Scenario):
        pass

    assert lacking(Forgetful) == {
        "word",
        "item_classes",
        "name",
        "title",
        "size",
        "context_needed",
        "effort",
        "job",
    }


def test_a_kind_is_one_file_of_its_name():
    for word, kind in kinds().items():
        assert kind.__module__ == f"pytest_gptoss.scenarios.kinds.{word}"


def test_records_are_imported_without_what_asks_servers():
    """Judging imports them."""
    script = (
        "import sys, pytest_gptoss.scenarios.registry as registry; registry.kinds()\n"
        "print({'httpx', 'asyncio', 'pytest', 'pytest_gptoss.client'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"

"""Whatever a page of /metrics holds, what is read of it counts something."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gptoss.client.metrics_page import totals
from pytest_gptoss.scenarios.server_counters import cache_block_of, counters_of

NAME = "vllm:generation_tokens_total"


def test_samples_are_summed_over_their_labels_whatever_stands_in_these():
    page = (
        f'# TYPE {NAME} counter\n{NAME}{{a="}}{{",b="\\""}} 2.0\n{NAME}{{}}\t 3 1700000000000\n{NAME} 0.5\n'
    )
    assert totals(page) == {NAME: 5.5}


@pytest.mark.parametrize(
    "value",
    ["NaN", "nan", "+Inf", "-Inf", "1e400", "1e300", "9007199254740994", "many", "0x10", "-", "1.2.3"],
)
def test_a_counter_that_is_no_number_is_not_told(value):
    page = f'{NAME}{{engine="0"}} 5.0\n{NAME}{{engine="1"}} {value}\nvllm:prompt_tokens_total 7\n'
    assert counters_of(page) == {"prompt_tokens": 7.0}


def test_a_cache_block_that_no_number_holds_is_not_told():
    assert cache_block_of(f'vllm:cache_config_info{{block_size="{"9" * 5000}"}} 1.0\n') is None


@given(st.lists(st.tuples(st.sampled_from([NAME, "vllm:x", "y"]), st.text(max_size=12)), max_size=6))
def test_no_page_is_a_traceback(samples):
    page = "".join(f"{name} {value}\n" for name, value in samples)
    assert all(math.isfinite(total) for total in totals(page).values())

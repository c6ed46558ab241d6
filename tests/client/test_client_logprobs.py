import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gptoss.client.logprobs import chosen_logprobs, token_id_named, token_ids, top_logprobs
from pytest_gptoss.model.errors import DialectError

ENTRIES = st.dictionaries(st.integers(0, 200_000), st.floats(-50, 0, width=32).map(float), max_size=6)


@given(st.lists(ENTRIES, max_size=8), st.integers(1, 8))
def test_the_table_holds_the_k_most_likely_of_each_row_in_order(rows, k):
    table = top_logprobs(
        [len(row) for row in rows],
        [token for row in rows for token in row],
        [value for row in rows for value in row.values()],
        k=k,
        what="top",
    )
    assert table.ids.shape == table.logprobs.shape == (len(rows), k)
    assert (table.ids.dtype, table.logprobs.dtype) == (np.int32, np.float32)
    for row, ids, values in zip(rows, table.ids.tolist(), table.logprobs.tolist(), strict=True):
        expected = sorted(row.values(), reverse=True)[:k]
        padding = k - len(expected)
        assert values == expected + [-np.inf] * padding
        assert ids[len(expected) :] == [-1] * padding
        assert [row[token] for token in ids[: len(expected)]] == expected


def test_equal_values_go_by_rank_and_then_by_place():
    table = top_logprobs([4], [7, 1, 2, 3], [-1.0, -1.0, -1.0, -1.0], k=3, what="top", ranks=[5, 3, 1, None])
    assert table.ids.tolist() == [[3, 2, 1]]
    table = top_logprobs([3], [7, 1, 2], [-1.0, -1.0, -1.0], k=3, what="top")
    assert table.ids.tolist() == [[7, 1, 2]]


@pytest.mark.parametrize(
    "value", [None, float("nan"), float("inf"), -float("inf"), -9999.0, -10_000, -3.4028235e38]
)
def test_what_no_generated_or_scored_token_can_have_is_refused_with_its_position(value):
    with pytest.raises(DialectError, match=r"lp at position 12 is .*1 of 3 .*NaN in its logits"):
        chosen_logprobs([-1.0, -2.0, value], "lp", first=10)


@pytest.mark.parametrize("value", [0.98, 21.5, 1e30])
def test_probabilities_and_scores_are_no_log_probabilities(value):
    with pytest.raises(DialectError, match=r"lp at position 1 is .*1 of 2 are no log-prob.*never above 0"):
        chosen_logprobs([-1.0, value], "lp")
    with pytest.raises(DialectError, match=r"top at position 0 hold .*never above 0"):
        top_logprobs([1], [1], [value], k=1, what="top")


@pytest.mark.parametrize("value", [0, -0.0, 1e-6, 0.0625, -745.0, -9998.9])
def test_rounding_and_unlikely_tokens_are_measured(value):
    assert chosen_logprobs([value], "lp").tolist() == [value]


@pytest.mark.parametrize("value", [None, float("nan"), float("inf")])
def test_an_alternative_without_a_number_is_refused_with_its_position(value):
    with pytest.raises(DialectError, match="top at position 11 hold"):
        top_logprobs([1, 2], [1, 2, 3], [-1.0, -2.0, value], k=2, what="top", first=10)


@pytest.mark.parametrize("value", [-float("inf"), -9999.0, -3.4028235e38])
def test_an_alternative_that_cannot_come_is_one_of_probability_0(value):
    table = top_logprobs([3], [1, 2, 3], [-0.5, value, -1.0], k=3, what="top")
    assert table.ids.tolist() == [[1, 3, 2]]
    assert table.logprobs.tolist() == [[-0.5, -1.0, -9999.0]]


@pytest.mark.parametrize("value", ["-1.0x", [1.0], {}, 10**400])
def test_what_is_no_number_at_all_is_refused(value):
    with pytest.raises(DialectError, match="no number"):
        chosen_logprobs([-1.0, value], "lp")


@pytest.mark.parametrize("token", [-1, 2**31, 2**80])
def test_ids_beyond_int32_are_refused(token):
    with pytest.raises(DialectError, match="outside 0 to 2147483647"):
        top_logprobs([1], [token], [-1.0], k=1, what="top")
    with pytest.raises(DialectError, match=r"ids\[1\] is "):
        token_ids([3, token], "ids")


@pytest.mark.parametrize("value", [None, "12", {"a": 1}, [1.0], [True], ["1"], [None]])
def test_what_is_no_list_of_ids_is_refused(value):
    with pytest.raises(DialectError, match=r"expected a (list of )?token id"):
        token_ids(value, "ids")


@pytest.mark.parametrize(
    ("text", "token"),
    [("token_id:0", 0), ("token_id:201087", 201087), ("token_id:", None), ("token_id:-1", None),
     ("token_id:99999999999", None), ("token_id:4294967296", None), (" x", None), (None, None), (5, None)],
)  # fmt: skip
def test_tokens_named_by_id(text, token):
    assert token_id_named(text) == token

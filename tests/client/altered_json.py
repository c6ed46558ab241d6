"""Recorded answers with a value somewhere in them replaced: how a server goes wrong that nobody foresaw."""

import copy

from hypothesis import strategies as st

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from([-(2**63), 2**31, 2**63, 10**30, 10**400, 10**4000]),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["\x1b[31m", "a\nb", "\ud800", "x" * 5000, "token_id:5", "9" * 5000, "１"]),
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=4), inner, max_size=4)
    ),
    max_leaves=8,
)


@st.composite
def altered(draw, document):
    """``document`` with up to three of its values replaced by any JSON, or taken away."""
    document = copy.deepcopy(document)
    for _ in range(draw(st.integers(1, 3))):
        document = _altered_once(draw, document)
    return document


def _altered_once(draw, document):
    place, key, value = None, None, document
    while isinstance(value, dict | list) and value and draw(st.integers(0, 4)):
        place = value
        key = draw(st.sampled_from(sorted(value) if isinstance(value, dict) else range(len(value))))
        value = value[key]
    if place is None:
        return draw(JSON)
    if draw(st.booleans()):
        place[key] = draw(JSON)
    else:
        del place[key]
    return document

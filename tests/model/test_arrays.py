"""Array fields are known by their type on every NumPy, also where NDArray is an alias (2.5 and newer)."""

import dataclasses
import typing

import numpy as np
import pytest

from pytest_gptoss.model import arrays
from pytest_gptoss.scenarios.registry import item_classes


@pytest.mark.parametrize("name", arrays.__all__)
def test_the_origin_of_an_array_type_is_ndarray(name):
    assert typing.get_origin(getattr(arrays, name)) is np.ndarray


@pytest.mark.parametrize("kind", item_classes().values())
def test_no_item_has_an_array_type_of_its_own(kind):
    written = {field.name: str(field.type) for field in dataclasses.fields(kind)}
    assert not {name: text for name, text in written.items() if "ndarray" in text.lower()}

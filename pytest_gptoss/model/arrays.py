"""Types of the arrays that stand beside JSON in records."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

__all__ = ["Float32Array", "FloatArray", "IntArray"]

# Written out: numpy.typing's NDArray is an alias from NumPy 2.5 on, whose origin is no longer ndarray, and
# scenarios/item_forms.py knows array fields by that origin.
FloatArray: TypeAlias = np.ndarray[tuple[Any, ...], np.dtype[np.float64]]
Float32Array: TypeAlias = np.ndarray[tuple[Any, ...], np.dtype[np.float32]]
IntArray: TypeAlias = np.ndarray[tuple[Any, ...], np.dtype[np.int32]]

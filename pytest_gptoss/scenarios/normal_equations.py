"""The normal equations A'A = LL' of a least squares problem, factorised once and used many times, in float64.

Block by block, which leaves nearly all work to matrix products: numpy has no solver for triangles, and its
own factorisation takes twice the time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pytest_gptoss.model.arrays import FloatArray

__all__ = ["Factor", "factorise", "largest_eigenvalue"]

_BLOCK = 128
"""Rows of a block: few enough that inverting blocks costs next to nothing, enough for fast products."""
_KRYLOV = 8
"""Vectors of the search for an extreme eigenvalue, which comes out a few percent short at worst."""


@dataclass(frozen=True, slots=True, eq=False)
class Factor:
    """L of A'A = LL', float64 [d, d], with the inverses of the blocks on its diagonal.

    What stands right of those blocks is not L's.
    """

    triangle: FloatArray
    blocks: tuple[FloatArray, ...]

    def forward(self, columns: FloatArray) -> FloatArray:
        """L^-1 columns, for a vector [d] or several [d, m]; x'(A'A)^-1 x is the squared length of L^-1 x."""
        solved = np.zeros_like(columns)
        for number, inverse in enumerate(self.blocks):
            at, begin = self._slice(number)
            solved[at] = inverse @ (columns[at] - self.triangle[at, :begin] @ solved[:begin])
        return solved

    def backward(self, columns: FloatArray) -> FloatArray:
        """L'^-1 columns."""
        solved = np.zeros_like(columns)
        for number, inverse in reversed(tuple(enumerate(self.blocks))):
            at, _ = self._slice(number)
            solved[at] = inverse.T @ (columns[at] - self.triangle[at.stop :, at].T @ solved[at.stop :])
        return solved

    def solve(self, columns: FloatArray) -> FloatArray:
        """(A'A)^-1 columns."""
        return self.backward(self.forward(columns))

    @staticmethod
    def _slice(number: int) -> tuple[slice, int]:
        return slice(number * _BLOCK, (number + 1) * _BLOCK), number * _BLOCK


def factorise(matrix: FloatArray) -> Factor:
    """The factor of A'A for A [n, d]. Raises numpy's LinAlgError where its columns depend on each other."""
    triangle = matrix.T @ matrix  # its columns are replaced by L's, from the left, below the diagonal
    blocks = []
    for start in range(0, len(triangle), _BLOCK):
        done, at = triangle[start:, :start], slice(start, start + _BLOCK)
        column = triangle[start:, at] - done @ done[:_BLOCK].T
        inverse = np.tril(np.linalg.inv(np.linalg.cholesky(column[:_BLOCK])))
        triangle[start:, at] = column @ inverse.T
        blocks.append(inverse)
    return Factor(triangle, tuple(blocks))


def largest_eigenvalue(product: Callable[[FloatArray], FloatArray], size: int) -> float:
    """Of a symmetric positive matrix [size, size], given by its product with a vector: Lanczos' method."""
    vector = np.random.default_rng(0).standard_normal(size)
    basis, images = np.zeros((0, size)), np.zeros((0, size))
    for _ in range(min(_KRYLOV, size)):
        for _ in range(2):  # once leaves rounding errors along the basis
            vector = vector - basis.T @ (basis @ vector)
            vector /= np.linalg.norm(vector)
        basis = np.vstack([basis, vector])
        vector = product(vector)
        images = np.vstack([images, vector])
    return float(np.linalg.eigvalsh(basis @ images.T)[-1])

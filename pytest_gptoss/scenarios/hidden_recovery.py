"""A hidden state recovered from log-probabilities, by least squares with the checkpoint's output layer.

log p(i) = w_i . h - log Z for every token i: w_i is its row of the output layer, h the state after the final
norm, log Z one number a position. More log-probabilities than h has elements determine both.

Subtracting the mean of the rows and of the log-probabilities removes log Z and leaves the same least squares
problem (Frisch and Waugh, Econometrica 1 (1933) 387). It is solved in float64 by one Cholesky factorisation
of the normal equations A'A = LL'. They square the condition k of A, which costs a relative error of
k^2 2^-53; one step of iterative refinement takes most of it back. Up to the largest k that ``hidden_checks``
allows that is far below what rounded logits leave. Householder QR needs a quarter more arithmetic for
nothing. Nothing is regularised: that would shorten the state and hide a wrong output layer.

Rounding errors of logits are as good as independent, with one variance s^2, which the residual tells. So the
state's error has the covariance S = s^2 (A'A)^-1; traces of it are estimated by random signs (Hutchinson,
Commun. Stat. Simul. Comput. 19 (1990) 433).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pytest_gptoss.model.arrays import Float32Array, FloatArray
from pytest_gptoss.model.errors import InsufficientData
from pytest_gptoss.model.message import say
from pytest_gptoss.model.results import StateFit
from pytest_gptoss.scenarios.normal_equations import Factor, factorise, largest_eigenvalue

__all__ = ["Recovered", "logit_steps", "recover"]

_SIGNIFICAND = 8
"""Bits of bfloat16's significand, the leading one included."""
_PROBES = 16
"""Vectors of random signs that tell a trace: within 1% where no direction leads, a quarter at worst."""
_TRACE_ERROR = 0.25


@dataclass(frozen=True, slots=True, eq=False)
class Recovered:
    """The ``state`` of one position, float32 [hidden], after the final norm; ``log_z``: log Z in nats.

    ``worst_place``: which of the given log-probabilities is farthest from the fit.
    """

    state: Float32Array
    log_z: float
    worst_place: int
    fit: StateFit


def recover(
    rows: Float32Array, logprobs: npt.NDArray[np.floating], norm: Float32Array, *, position: int = 0
) -> Recovered:
    """The state that gives the tokens of these rows [n, hidden] these log-probabilities [n].

    ``norm`` [hidden] is the final norm's weight. Tokens of equal rows count once: they have one logit between
    them, with one rounding error. Raises InsufficientData where the rows do not determine a state.
    """
    places = _different(rows)
    n, hidden = len(places), rows.shape[1]
    if n < hidden + 2:
        raise _undetermined(n, hidden)
    values = np.asarray(logprobs, dtype=np.float64)[places]
    matrix = rows[places].astype(np.float64)
    mean_row, mean_value = matrix.mean(axis=0), float(values.mean())
    matrix -= mean_row
    factor = _factor(matrix)
    state, residuals = _solve(matrix, factor, values - mean_value)
    log_z = float(mean_row @ state) - mean_value
    if not math.isfinite(log_z) or not np.isfinite(residuals).all():
        raise _undetermined(n, hidden)
    variance = float(residuals @ residuals) / (n - hidden - 1)
    steps = logit_steps(values + log_z)
    worst = int(np.argmax(np.abs(residuals)))
    widest = largest_eigenvalue(lambda vector: matrix.T @ (matrix @ vector), hidden)
    least_certain = largest_eigenvalue(factor.solve, hidden)
    scale, scale_error = _scale(state, factor, variance, norm)
    power, largest = _blur(state, factor, variance, least_certain)
    fit = StateFit(
        position=position,
        n=n,
        residual=math.sqrt(variance),
        residual_of_others=_others(residuals, worst, factor, matrix[worst]),
        worst=abs(float(residuals[worst])),
        explained=math.sqrt(float(np.mean(steps**2)) / 12),
        largest_step=float(steps.max()),
        condition=math.sqrt(widest * least_certain),
        scale=scale,
        scale_error=scale_error,
        power=power,
        largest=largest,
    )
    return Recovered(state.astype(np.float32), log_z, int(places[worst]), fit)


def logit_steps(logits: FloatArray) -> FloatArray:
    """The distance between two neighbouring bfloat16 numbers at each of these.

    A logit x with 2^e <= |x| < 2^(e+1) is rounded to a multiple of the step 2^(e-7). The error is spread
    evenly over plus and minus half a step: its standard deviation is step / sqrt(12), about 0.2% of |x|.
    Sums are formed and the softmax is taken in float32, and JSON repeats its digits, which adds about 1e-6.
    """
    _, exponents = np.frexp(logits)  # |x| = m 2^exponent with 0.5 <= m < 1
    steps: FloatArray = np.ldexp(1.0, exponents - _SIGNIFICAND)
    return steps


def _undetermined(n: int, hidden: int) -> InsufficientData:
    return InsufficientData(
        say(
            "log-probabilities of {n} different rows of lm_head.weight do not determine a hidden state of "
            "size {hidden}: take hidden states from a pooling server",
            n=n,
            hidden=hidden,
        )
    )


def _different(rows: Float32Array) -> npt.NDArray[np.intp]:
    """The place of the first of each set of equal rows, in their order."""
    whole = np.ascontiguousarray(rows).view(np.dtype((np.void, rows.shape[1] * rows.itemsize))).ravel()
    _, places = np.unique(whole, return_index=True)
    return np.sort(places)


def _others(residuals: FloatArray, worst: int, factor: Factor, row: FloatArray) -> float:
    """The residual's standard deviation in a fit without one log-probability, from its leverage."""
    n, hidden = len(residuals), len(row)
    leverage = 1 / n + float(np.square(factor.forward(row)).sum())
    squares = float(residuals @ residuals) - float(residuals[worst]) ** 2 / max(1e-12, 1 - leverage)
    return math.sqrt(max(0.0, squares) / max(1, n - hidden - 2))


def _factor(matrix: FloatArray) -> Factor:
    try:
        return factorise(matrix)
    except np.linalg.LinAlgError:
        raise _undetermined(*matrix.shape) from None


def _solve(matrix: FloatArray, factor: Factor, values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The least squares solution and its residuals; the second round is the refinement."""
    state, residuals = np.zeros(matrix.shape[1]), values
    for _ in range(2):
        state = state + factor.solve(matrix.T @ residuals)
        residuals = values - matrix @ state
    return state, residuals


def _trace(factor: Factor, weights: FloatArray) -> float:
    """tr(D (A'A)^-1 D) for the diagonal D of ``weights`` [d], estimated."""
    signs = np.random.default_rng(0).choice([-1.0, 1.0], (len(weights), _PROBES))
    return float(np.square(factor.forward(weights[:, np.newaxis] * signs)).sum()) / _PROBES


def _scale(state: FloatArray, factor: Factor, variance: float, norm: Float32Array) -> tuple[float, float]:
    """mean((state / norm)^2) less what the error adds to it, and its standard deviation.

    Elements where the norm's weight is 0 tell nothing and are left out. What the error adds is estimated; a
    quarter of it counts as uncertain.
    """
    inverse = np.divide(1.0, norm, out=np.zeros(len(norm)), where=norm != 0, dtype=np.float64)
    count = max(1, int(np.count_nonzero(norm)))
    added = variance * _trace(factor, inverse) / count
    scatter = 2 * math.sqrt(variance * float(np.square(factor.forward(state * inverse**2)).sum())) / count
    scale = float(np.square(state * inverse).sum()) / count - added
    return scale, math.hypot(scatter, _TRACE_ERROR * added)


def _blur(state: FloatArray, factor: Factor, variance: float, least_certain: float) -> tuple[float, float]:
    """How far the state may be off: ``StateFit.power`` and ``StateFit.largest``."""
    squared = float(state @ state)
    along = float(np.square(factor.forward(state)).sum()) / squared
    across = max(0.0, _trace(factor, np.ones(len(state))) - along)
    return variance * across / squared, variance * least_certain / squared

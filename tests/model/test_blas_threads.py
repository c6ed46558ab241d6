"""numpy's threads are bounded where its library can be told, and given back."""

import contextlib

import pytest

from pytest_gptoss.model import blas_threads as module
from pytest_gptoss.model.blas_threads import blas_threads, limited_blas


def test_threads_are_limited_and_given_back():
    before = blas_threads()
    if before is None:
        pytest.skip("numpy has no OpenBLAS here")
    module._call("set_num_threads", 2)
    try:
        with contextlib.suppress(RuntimeError), limited_blas(1):
            assert blas_threads() == 1
            raise RuntimeError
        assert blas_threads() == 2
        with limited_blas(8):
            assert blas_threads() == 2
    finally:
        module._call("set_num_threads", before)


def test_another_library_is_left_alone(monkeypatch):
    monkeypatch.setattr(module, "_library", lambda: None)
    assert blas_threads() is None
    with limited_blas(1):
        assert blas_threads() is None

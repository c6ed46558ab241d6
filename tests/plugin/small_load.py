"""As little load as shows anything."""

from pytest_gptoss.model.inputs import LoadTask

SMALL_LOAD = LoadTask(concurrency=(1,), requests=3, max_tokens=6, calibrate=False)

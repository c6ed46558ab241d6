"""Fixtures: for the acceptance tests, and for a project's own tests on the same devices.

Light at import; whatever measures is imported when a test asks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import pytest

from pytest_gptoss.model.errors import GptossError
from pytest_gptoss.plugin.keys import SESSION

if TYPE_CHECKING:
    from pytest_gptoss.model.inputs import PromptSet
    from pytest_gptoss.model.results import Measurement
    from pytest_gptoss.model.subjects import Device
    from pytest_gptoss.model.verdicts import Verdict
    from pytest_gptoss.plugin.session import Session
    from pytest_gptoss.scenarios.kinds import Scenario

NO_DEVICE = "no device to accept: add --npu-url URL --gpu-url URL, or try --embedded"
_NO_ASYNCIO = "{} needs pytest-asyncio, which is switched off: add -p pytest_asyncio.plugin"


@pytest.fixture(scope="session")
def gptoss_session(pytestconfig: pytest.Config) -> Session:
    """The running acceptance session; skips when no device was named."""
    session = pytestconfig.stash.get(SESSION, None)
    if session is None or not session.active:
        pytest.skip(NO_DEVICE)
    session.begin()  # done already, unless a test asked for this fixture by its name at run time
    return session


def _or_error(ask: Callable[[], Any]) -> Any:
    """Turn the suite's own errors into one-line test errors without a traceback."""
    try:
        return ask()
    except GptossError as error:
        pytest.fail(str(error), pytrace=False)


def _device(session: Session, role: str) -> Device:
    name = session.asking.name_of(role)
    if name is None:
        pytest.skip(f"no {role} in this run: add --{role}-url URL")
    device: Device = _or_error(lambda: session.run.devices.device(name))
    return device


@pytest.fixture(scope="session")
def npu(gptoss_session: Session) -> Device:
    """The device under test (the first, when several are given)."""
    return _device(gptoss_session, "npu")


@pytest.fixture(scope="session")
def gpu(gptoss_session: Session) -> Device:
    """The baseline device; skips when there is none."""
    return _device(gptoss_session, "gpu")


@pytest.fixture(scope="session")
def cpu(gptoss_session: Session) -> Device:
    """The FP32 reference device; skips when there is none."""
    return _device(gptoss_session, "cpu")


@pytest.fixture(scope="session")
def devices(gptoss_session: Session) -> Mapping[str, Device]:
    """Every device that answers, by name."""
    found: Mapping[str, Device] = _or_error(gptoss_session.run.devices.answering)
    return found


@pytest.fixture(scope="session")
def npu_url(gptoss_session: Session, npu: Device) -> str:
    """Root URL of the device under test."""
    url: str = _or_error(lambda: gptoss_session.run.devices.url(npu.name))
    return url


@pytest.fixture(scope="session")
def gpu_url(gptoss_session: Session, gpu: Device) -> str:
    """Root URL of the baseline."""
    url: str = _or_error(lambda: gptoss_session.run.devices.url(gpu.name))
    return url


@pytest.fixture(scope="session")
def device_labels(devices: Mapping[str, Device]) -> Mapping[str, str]:
    """Device name -> the label people and reports use."""
    return {name: device.label for name, device in devices.items()}


@pytest.fixture(scope="session")
def prompt_sets(gptoss_session: Session) -> Mapping[str, PromptSet]:
    """Prompt sets by name: "precision" and whatever ``pytest_gptoss_prompt_sets`` added."""
    return gptoss_session.run.plan.workload.prompt_sets


@pytest.fixture(scope="session")
def measure(gptoss_session: Session) -> Callable[[Scenario], Measurement[Any]]:
    """``measure(scenario)``: its measurement, made once for the whole run."""

    def measure_one(scenario: Scenario) -> Measurement[Any]:
        measurement: Measurement[Any] = _or_error(lambda: gptoss_session.run.measure(scenario)[0])
        return measurement

    return measure_one


@pytest.fixture(scope="session")
def verdict(gptoss_session: Session) -> Callable[..., Verdict]:
    """``verdict(threshold_id, npu=None)``: a threshold's verdict, whatever it is."""

    def judge(threshold_id: str, npu: str | None = None) -> Verdict:
        result: Verdict = _or_error(lambda: gptoss_session.asking.verdict(npu, threshold_id))
        return result

    return judge


@pytest.fixture
def threshold_row(request: pytest.FixtureRequest) -> tuple[str, str]:
    """(npu name, threshold id) of one row; the plugin parametrizes it."""
    row: tuple[str, str] = request.param
    return row


@pytest.fixture
def threshold_verdict(
    threshold_row: tuple[str, str], request: pytest.FixtureRequest, gptoss_session: Session
) -> Verdict:
    """The verdict of the row: PASS or FAIL. INVALID is an error here, a waived row is skipped."""
    npu, threshold_id = threshold_row
    result = gptoss_session.asking.judge_row(npu, threshold_id, request.node)
    if result.status == "INVALID":
        pytest.fail(gptoss_session.asking.explain(result), pytrace=False)
    if result.status in ("WAIVED", "SKIPPED"):
        pytest.skip(gptoss_session.asking.explain(result))
    return result


@pytest.fixture
def assert_accepted(gptoss_session: Session) -> Callable[[Verdict], None]:
    """``assert_accepted(verdict)``: fail with the verdict's line when it is no PASS."""

    def check(verdict: Verdict) -> None:
        if verdict.status != "PASS":
            pytest.fail(gptoss_session.asking.explain(verdict), pytrace=False)

    return check


@pytest.fixture
def npu_client() -> None:
    """Stands in for ``async_fixtures.npu_client`` where pytest-asyncio is switched off."""
    pytest.fail(_NO_ASYNCIO.format("npu_client"), pytrace=False)


@pytest.fixture
def gpu_client() -> None:
    """Stands in for ``async_fixtures.gpu_client`` where pytest-asyncio is switched off."""
    pytest.fail(_NO_ASYNCIO.format("gpu_client"), pytrace=False)

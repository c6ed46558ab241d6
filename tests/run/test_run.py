"""What a run judges from a store that holds everything already: nothing is asked of any server."""

import numpy as np
import pytest

from pytest_gptoss.config.plan import make_plan
from pytest_gptoss.config.settings import DeviceSettings, Settings
from pytest_gptoss.model.results import Generation, Measurement, ScoredSequence, TopLogprobs
from pytest_gptoss.model.subjects import Capabilities, Device, ServerFacts
from pytest_gptoss.run.engine import AcceptanceRun
from pytest_gptoss.scenarios.devices import ProbedDevice
from pytest_gptoss.scenarios.kinds import Forced, Greedy, Preflight

ADDRESS = "10.0.0.1:8000"


def _scores(device, logprob):
    top = TopLogprobs(np.full((3, 1), 1, np.int32), np.full((3, 1), logprob, np.float32))
    item = ScoredSequence("s1", (1, 2, 3, 4), 1, np.full(3, logprob), top)
    return Measurement(Forced(device).id, device, (item,))


def _answers(device, prompt_ids):
    items = [
        Generation(name, (*prompt_ids, place), (5, place), "", name, (), "stop", len(prompt_ids) + 1, 2)
        for place, name in enumerate(("a", "b"))
    ]
    return Measurement(Greedy(device).id, device, tuple(items))


@pytest.fixture
def judged(tmp_path):
    """Verdicts, by threshold, on devices of (address, prompt ids), under waivers."""
    runs = []

    def judge(waivers=None, **devices):
        roles = {name: name if name in ("gpu", "cpu") else "npu" for name in devices}
        settings = Settings(
            devices=tuple(DeviceSettings(roles[name], name, f"http://{name}:1") for name in devices),
            report=tmp_path / str(len(runs)),
            waivers=waivers,
        )
        run = AcceptanceRun(settings, make_plan(settings), tell=lambda _: None)
        runs.append(run)
        run.begin()
        found = []
        for name, (address, prompt_ids) in devices.items():
            url = f"http://{name}:1"
            device = Device(roles[name], name, url, name, "m", None, 4096, Capabilities())
            found.append(ProbedDevice(name, device).document())
            facts = ServerFacts("r", (address,), 0.0, ("m",), model="m", max_model_len=4096)
            run.store.save(Measurement(Preflight(name).id, name, (facts,)))
            run.store.save(_scores(name, -1.0))
            run.store.save(_answers(name, prompt_ids))
        run.store.save_document("devices", found)
        return lambda threshold, npu="npu": run.verdict(npu, threshold)

    yield judge
    for run in runs:
        run.close()


def test_one_server_twice_blocks_what_compares_it(judged):
    verdict = judged(npu=(ADDRESS, (1,)), gpu=(ADDRESS, (1,)))
    assert verdict("preflight.distinct").status == "FAIL"
    assert verdict("precision.perplexity_diff").details == {"blocked_by": "preflight.distinct"}


def test_the_first_device_given_twice_proves_no_configuration(judged):
    verdict = judged(tp1=(ADDRESS, (1,)), eager=(ADDRESS, (1,)))
    assert verdict("preflight.distinct", "tp1").status == "SKIPPED"
    assert verdict("preflight.distinct", "eager").status == "FAIL"
    row = verdict("configuration.perplexity_diff", "eager")
    assert (row.status, row.details) == ("INVALID", {"blocked_by": "preflight.distinct"})
    apart = judged(tp1=(ADDRESS, (1,)), eager=("10.0.0.2:8000", (1,)))
    assert apart("configuration.perplexity_diff", "eager").status == "PASS"


def test_a_waived_preflight_row_stops_nothing(judged):
    waivers = {"preflight.distinct": "a gateway leads to both"}
    verdict = judged(waivers, npu=(ADDRESS, (1,)), gpu=(ADDRESS, (1,)))
    assert verdict("preflight.distinct").status == "WAIVED"
    assert verdict("precision.perplexity_diff").status == "PASS"


def test_other_inputs_stop_what_rests_on_them_waived_or_not(judged):
    waivers = {"inputs.identical": "we know"}
    verdict = judged(waivers, npu=(ADDRESS, (1,)), gpu=("10.0.0.2:8000", (2,)))
    assert verdict("inputs.identical").status == "WAIVED"
    row = verdict("precision.rouge_l")
    assert (row.status, row.details) == ("INVALID", {"blocked_by": "inputs.identical"})

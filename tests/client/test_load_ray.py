"""Load from two nodes of a Ray cluster, both on this machine: one run, and a node that dies is named."""

import gc
import os
import signal
import subprocess
import sys
import threading
import time
import uuid

import pytest

from pytest_gptoss.client.load import LoadJob, LoadRequest, LoadTarget, ray_workers
from pytest_gptoss.client.load.controller import WorkerError
from pytest_gptoss.client.load.ray_workers import connect, run_on_ray
from pytest_gptoss.model.errors import UsageError
from pytest_gptoss.model.inputs import LoadShape
from pytest_gptoss.run.instrument import ensure_workers_calibrated, instrument_errors, worker_errors
from pytest_gptoss.run.store import Store

ray = pytest.importorskip("ray")
pytestmark = [pytest.mark.ray, pytest.mark.filterwarnings("ignore")]

STORE_BYTES = 80 * 2**20
QUICK = {"max_tokens": 3, "truth": {"first_token_ms": 1, "interval_ms": 1}}
SLOW = {"max_tokens": 900, "truth": {"first_token_ms": 1, "interval_ms": 100}}


def asked(kinds):
    run = uuid.uuid4().hex
    return [
        LoadRequest(f"{run}-{place}", "/v1/chat/completions", {"stream": True, "messages": [], **kind})
        for place, kind in enumerate(kinds)
    ]


@pytest.fixture(scope="module")
def cluster():
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 1, "object_store_memory": STORE_BYTES}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_worker_niceness", "0")
        made = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
        made.second = made.add_node(**node)
    before = signal.getsignal(signal.SIGTERM)
    connect(made.address)
    assert signal.getsignal(signal.SIGTERM) is before
    yield made
    ray.shutdown()
    made.shutdown()
    gc.collect()  # Ray leaves a process that it started unreaped, of which Python complains


def test_two_nodes_give_one_run_on_one_clock(truth, cluster):
    requests = asked([{"max_tokens": 6, "truth": {"first_token_ms": 40, "interval_ms": 5}}] * 8)
    ended = []
    job = LoadJob(LoadTarget(truth.endpoint), requests, 4)
    run = run_on_ray(job, address=cluster.address, workers=None, on_end=ended.append)
    assert [each.id for each in run.requests] == [each.id for each in requests]
    assert sorted(each.id for each in ended) == sorted(each.id for each in requests)
    assert not any(each.error for each in run.requests)
    assert len(run.health.cpu_shares) == 2
    error_ms = run.health.clock_error_ms
    assert 0 < error_ms < 1000
    true = truth.stamps()
    for timing in run.requests:
        seen = true[timing.id]
        late = [(at - written) / 1e6 for at, written in zip(timing.token_ns, seen.token_ns, strict=True)]
        assert min(late) >= -error_ms, (late, error_ms)
        assert min(late) < 500 + error_ms


def test_each_worker_calibrates_on_its_node_and_the_worst_is_the_levels(cluster, tmp_path):
    store = Store(tmp_path / "run")
    store.claim()
    store.begin()
    try:
        levels = {"c02": LoadShape(2, 8, 64, 8)}
        with store.lock():
            ensure_workers_calibrated(store, levels, address=cluster.address, workers=None, tell=print)
        workers = worker_errors(store)["c02"]
        error = instrument_errors(store)["c02"]
    finally:
        store.release()
    assert [name.split(" (")[0] for name, _ in workers] == ["Ray worker 1 of 2", "Ray worker 2 of 2"]
    assert error.concurrency == 2
    assert error.ttft_bias_ms == max((each.ttft_bias_ms for _, each in workers), key=abs)
    assert error.requests == 8


def test_another_version_is_refused(truth, cluster, monkeypatch):
    monkeypatch.setattr(ray_workers, "__version__", "0.0.1")
    job = LoadJob(LoadTarget(truth.endpoint), asked([QUICK] * 2), 2)
    with pytest.raises(
        WorkerError, match=r"Ray worker 1 of 2 .* and this machine 0\.0\.1: install one version"
    ):
        run_on_ray(job, address=cluster.address, workers=2, on_end=print)


def test_an_interruption_ends_the_actors_and_keeps_what_had_ended(truth, cluster):
    ended = []
    timer = threading.Timer(0, os.kill, (os.getpid(), signal.SIGINT))

    def interrupt(timing):
        ended.append(timing.id)
        if len(ended) == 4:
            timer.start()

    requests = asked([QUICK] * 4 + [SLOW] * 4)
    with pytest.raises(KeyboardInterrupt):
        run_on_ray(
            LoadJob(LoadTarget(truth.endpoint), requests, 2), address="auto", workers=2, on_end=interrupt
        )
    assert sorted(ended) == sorted(each.id for each in requests[:4])
    until = time.monotonic() + 60
    while living() and time.monotonic() < until:
        time.sleep(0.2)
    assert not living()


def living():
    """The processes of load actors on this machine."""
    said = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    return [line for line in said.splitlines() if line.startswith("ray::LoadActor")]


def test_a_node_that_dies_is_named_and_the_others_answers_are_kept(truth, cluster):
    """The last test: the cluster has one node less after it."""
    ended = []

    def kill_node(timing):
        ended.append(timing.id)
        if len(ended) == 4:
            cluster.remove_node(cluster.second, allow_graceful=False)

    requests = asked([QUICK] * 4 + [SLOW] * 4)
    job = LoadJob(LoadTarget(truth.endpoint), requests, 2)
    with pytest.raises(WorkerError) as raised:
        run_on_ray(job, address=cluster.address, workers=2, on_end=kill_node)
    said = str(raised.value)
    assert said.startswith(("Ray worker 1 of 2 (node ", "Ray worker 2 of 2 (node "))
    assert "ended before its requests were answered (" in said
    assert sorted(ended) == sorted(each.id for each in requests[:4])


def test_nothing_there_is_a_usage_error():
    script = (
        "from pytest_gptoss.client.load.ray_workers import connect\n"
        "from pytest_gptoss.model.errors import UsageError\n"
        "try:\n    connect('127.0.0.1:9')\n"
        "except UsageError as error:\n    print(error)\n"
    )
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert said.startswith("--gptoss-ray 127.0.0.1:9: no Ray cluster can be joined there")
    assert "ray start --head" in said


def test_without_ray_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match=r"pip install 'pytest-gptoss\[ray\]'"):
        connect("auto")

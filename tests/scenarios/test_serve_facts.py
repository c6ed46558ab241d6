"""What a serve line tells of a server: parallel sizes, expert parallel, graph capture."""

import shlex

import pytest

from pytest_gptoss.scenarios.serve_facts import SERVE_LINE, facts_of_serve_line

DEFAULTS = {
    "enforce_eager": "False",
    "tensor_parallel_size": "1",
    "pipeline_parallel_size": "1",
    "enable_expert_parallel": "False",
}


def told(line):
    facts = facts_of_serve_line(shlex.split(line))
    assert {fact.source for fact in facts} <= {SERVE_LINE}
    return {fact.name: fact.value for fact in facts}


@pytest.mark.parametrize(
    ("flags", "more"),
    [
        ("", {}),
        ("--enforce-eager", {"enforce_eager": "True"}),
        ("--enforce-eager --no-enforce-eager", {"enforce_eager": "False"}),
        ("-tp 2 -pp=4 -ep", {"tensor_parallel_size": "2", "pipeline_parallel_size": "4",
                             "enable_expert_parallel": "True"}),
        ("--tensor_parallel_size=8 --tensor-parallel-size 2", {"tensor_parallel_size": "2"}),
        ("--tensor-parallel-size two", {}),
        ("--enable-expert-parallel --no-enable-expert-parallel", {}),
        ("""--compilation-config '{"cudagraph_mode": "full_decode_only"}'""",
         {"cudagraph_mode": "FULL_DECODE_ONLY"}),
        ("--compilation_config.cudagraph_mode NONE", {"cudagraph_mode": "NONE"}),
        ("-O.cudagraph_mode=PIECEWISE", {"cudagraph_mode": "PIECEWISE"}),
        ("--compilation-config 3", {}),
        ("""--additional-config '{"torchair_graph_config": {"enabled": true}}'""",
         {"ascend_graphs": "torchair"}),
        ("""--additional-config '{"torchair_graph_config": {"enabled": false}}'""", {}),
        ("--additional-config '{broken'", {}),
    ],
)  # fmt: skip
def test_a_line_of_vllm_tells_its_flags_and_the_defaults_of_those_that_are_absent(flags, more):
    assert told(f"/opt/vllm/bin/vllm serve m --port {{port}} {flags}") == {**DEFAULTS, **more}


@pytest.mark.parametrize(
    "line",
    [
        "python3 -m vllm.entrypoints.openai.api_server --port {port} -tp 2",
        "docker run -p {port}:8000 vllm/vllm-openai:v0.32.0 --model m -tp 2",
        "bash -c 'exec vllm serve m --port {port} -tp 2'",
        "numactl -N 0 vllm serve m --port {port} -tp 2",
    ],
)
def test_vllm_is_known_however_it_is_started(line):
    assert told(line) == {**DEFAULTS, "tensor_parallel_size": "2"}


@pytest.mark.parametrize(
    "line",
    [
        "./serve.sh --port {port} --served-model-name vllm -tp 2",
        "vllm serve m --port {port} --config serve.yaml -tp 2",
        "bash -c 'vllm serve \"m' -tp 2",
    ],
)
def test_what_may_be_set_elsewhere_is_told_by_its_flags_alone(line):
    assert told(line) == {"tensor_parallel_size": "2"}


def test_a_server_that_is_not_started_here_tells_nothing():
    assert facts_of_serve_line(()) == ()

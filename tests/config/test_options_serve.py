"""Servers that the run starts by command lines."""

import pytest

from pytest_gptoss.config.serve_options import for_older_vllm, pooling_variant
from pytest_gptoss.model.errors import UsageError
from pytest_gptoss.model.serve_command import read_serve_command

SERVE = "vllm serve m --port {port}"


def test_commands_make_devices_with_their_environment_and_log(settings_of, tmp_path):
    settings = settings_of(
        npu_url=["live=http://n:1"],
        npu_serve=[f"eager={SERVE} --enforce-eager", f"graph={SERVE}"],
        gpu_serve=SERVE,
        serve_env=["A=1", "eager:A=2", "gpu:HF_TOKEN=x=y"],
        serve_dir=".",
        serve_pooling="1",
        npu_label=["eager=without graphs"],
    )
    assert [each.name for each in settings.devices] == ["live", "eager", "graph", "gpu"]
    live, eager, graph, gpu = settings.devices
    assert live.serve is None
    assert eager.serve.words[-1] == "--enforce-eager"
    assert (eager.serve.environment, graph.serve.environment) == ({"A": "2"}, {"A": "1"})
    assert gpu.serve.environment == {"A": "1", "HF_TOKEN": "x=y"}
    assert graph.serve.directory == tmp_path / "."
    assert (graph.url, graph.log) == (None, tmp_path / "gptoss-report" / "servers" / "graph.log")
    assert "pooling" in graph.pooling.words
    assert eager.label == "without graphs"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"npu_serve": "vllm serve m --port 8000"}, "--npu-serve: the command line has no {port}"),
        ({"npu_serve": f"VLLM_USE_V1=1 {SERVE}"}, "--gptoss-serve-env VLLM_USE_V1=VALUE"),
        ({"npu_serve": [SERVE, SERVE]}, "given twice"),
        ({"npu_serve": f"gpu={SERVE}"}, "use --gpu-serve for it"),
        ({"npu_serve": f"cpu={SERVE}"}, "another role"),
        ({"npu_serve": f"a={SERVE}", "npu_url": "a=http://n"}, "a device with an address"),
        ({"gpu_serve": SERVE}, "no device to accept"),
        ({"npu_serve": SERVE, "gpu_serve": SERVE, "gpu_url": "http://g"}, "exclude each other"),
        ({"npu_serve": SERVE, "embedded": "1"}, "exclude each other"),
        ({"npu_serve": SERVE, "serve_env": "b:A=1"}, "names no server that this run starts; there are: npu"),
        ({"npu_serve": SERVE, "serve_env": "hf_secret"}, "it takes [NAME:]VAR=VALUE"),
        ({"npu_serve": SERVE, "serve_dir": "nowhere"}, "no such directory"),
        ({"npu_serve": SERVE, "replay": "."}, "exclude each other"),
    ],
)
def test_what_makes_no_sense(settings_of, given, message):
    with pytest.raises(UsageError) as raised:
        settings_of(**given)
    assert message in str(raised.value)
    assert "hf_secret" not in str(raised.value)


def test_without_the_switch_there_is_no_pooling_variant(settings_of):
    (device,) = settings_of(npu_serve=SERVE).devices
    assert (device.name, device.pooling) == ("npu", None)


def test_a_pooling_variant_leaves_out_what_only_generation_takes():
    command = read_serve_command(
        f"{SERVE} --enable-auto-tool-choice --tool-call-parser openai --max-logprobs=5 -x"
    )
    words = pooling_variant(command).words
    assert words[:6] == ("vllm", "serve", "m", "--port", "{port}", "-x")
    assert words[6:8] == ("--runner", "pooling")
    for chosen in ("--runner pooling", "--runner=pooling"):
        named = read_serve_command(f"{SERVE} {chosen}")
        assert pooling_variant(named) == named


def test_a_pooling_variant_of_an_older_vllm_has_no_task():
    variant = pooling_variant(read_serve_command(SERVE))
    assert '"task"' in variant.words[-1]
    assert for_older_vllm(variant).words == (*variant.words[:-1], '{"use_activation":false}')

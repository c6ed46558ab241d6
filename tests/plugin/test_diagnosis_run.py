"""Logs are read from the start of the run, and what they say stands beside the verdict it explains."""

import pytest
from altering_proxy import Refusal, altering_proxy

pytest_plugins = ["pytester"]

CHAT = "/v1/chat/completions"
GUIDES_THREE = (
    "RuntimeError: RopeOperation setup failed",
    "OutOfMemoryError: NPU out of memory. Tried to allocate 2.00 GiB",
    "RuntimeError: EZ9999: [PID:4711] 507903... ACL Graph capture error",
)
KEY = "sk-very-secret-1234567890"
OURS = '[log.fan]\npattern = "fan stopped"\nremedy = "Clean the fan."\nexplains = ["precision.*"]\n'


def test_what_a_log_gained_is_quoted_with_its_remedy(
    accept, embedded_pair, report, verdicts, pytester, monkeypatch
):
    monkeypatch.setenv("GPTOSS_NPU_API_KEY", KEY)
    log = pytester.path / "npu.log"
    log.write_text("RuntimeError: RopeOperation setup failed\nfan stopped\n")  # of another day
    pytester.path.joinpath("ours.toml").write_text(OURS)

    dead = []

    def dying(path, body):
        if path == CHAT and (dead or body["max_tokens"] > 1):
            dead.append(True)
            with log.open("a") as file:
                file.write("".join(f"ERROR {line}\n" for line in GUIDES_THREE))
                file.write(f"the fan stopped, api_key={KEY}\nINFO nothing else\n")
            raise Refusal(500, "application/json", '{"error": {"message": "EngineCore died"}}')
        return body

    with altering_proxy(embedded_pair["npu"], request=dying) as url:
        result = accept(
            f"--npu-url={url}", f"--gpu-url={embedded_pair['gpu']}", "--gptoss-npu-log=npu.log",
            "--gptoss-signatures=ours.toml", "-k", "identical or leakage or rouge or preflight.ready",
        )  # fmt: skip
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    red = {name for name, status in verdicts().items() if status == "INVALID"}
    assert red == {"inputs.identical", "precision.leakage", "precision.rouge_l"}
    found = {each["name"]: each for each in report()["measurements"]["diagnosis"]}
    assert set(found) == {"rope-operation", "npu-out-of-memory", "acl-graph-capture", "fan", "engine-dead"}
    assert (found["engine-dead"]["kind"], found["engine-dead"]["file"]) == ("answer", None)
    rope = found["rope-operation"]
    assert (rope["device"], rope["file"], rope["line"], rope["kind"]) == ("npu", "npu.log", 3, "log")
    assert rope["times"] >= 3
    # A row that only rests on a red one is explained by that one.
    assert rope["explains"] == ["inputs.identical", "precision.leakage"]
    assert found["fan"]["explains"] == ["precision.leakage"]
    text = result.stdout.str()
    for words in ("npu.log:3: ERROR RuntimeError: RopeOperation", "--enforce-eager",
                  "HCCL_OP_EXPANSION_MODE=AIV",
                  "npu.log:6: the fan stopped", "Clean the fan."):  # fmt: skip
        assert words in text, words
    below = next(
        i for i, line in enumerate(result.outlines) if line.startswith("INVALID npu-precision.leakage")
    )
    assert any("npu.log:3" in line for line in result.outlines[below : below + 4])

    assert "the fan stopped, api_key=***" in text
    written = [path for path in pytester.path.rglob("*.json") if KEY in path.read_text("utf-8")]
    assert KEY not in text
    assert not written

    replay = accept("--gptoss-replay=gptoss-report", "-k", "leakage")
    assert replay.ret == pytest.ExitCode.TESTS_FAILED
    assert {each["name"] for each in report()["measurements"]["diagnosis"]} == set(found)


def test_the_baselines_log_explains_the_baseline(accept, embedded_pair, report, pytester):
    log = pytester.path / "gpu.log"
    log.write_text("")

    dead = []

    def failing(path, body):
        if path == CHAT and (dead or body["max_tokens"] > 1):
            dead.append(True)
            with log.open("a") as file:
                file.write("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 1.00 GiB\n")
            raise Refusal(500, "application/json", '{"error": {"message": "oom"}}')
        return body

    with altering_proxy(embedded_pair["gpu"], request=failing) as url:
        result = accept(f"--npu-url={embedded_pair['npu']}", f"--gpu-url={url}", "--gptoss-gpu-log=gpu.log",
                        "-k", "identical or leakage")  # fmt: skip
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    (found,) = report()["measurements"]["diagnosis"]
    assert (found["device"], found["name"], found["explains"]) == (
        "gpu",
        "gpu-out-of-memory",
        ["inputs.identical"],
    )


def test_symptoms_need_no_log(accept, embedded_pair, reference_server, report):
    npu = reference_server(defect="harmony-leak", dtype="bfloat16")
    result = accept(f"--npu-url={npu.url}", "-k", "leakage")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    (found,) = report()["measurements"]["diagnosis"]
    assert (found["kind"], found["name"]) == ("symptom", "control-tokens-leak")
    result.stdout.fnmatch_lines(["diagnosis", "*control tokens leak (precision.leakage)*", "*openai_gptoss*"])


def test_a_bad_file_of_signatures_is_a_usage_error(accept, pytester):
    pytester.path.joinpath("some.log").write_text("no TOML\n")
    result = accept("--npu-url=http://127.0.0.1:9", "--gptoss-signatures=some.log")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "--gptoss-signatures some.log: not a TOML file" in result.stderr.str()
    assert "Traceback" not in result.stderr.str()

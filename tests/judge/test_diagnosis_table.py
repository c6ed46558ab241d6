"""Signatures in log lines, symptoms in verdicts, and what is wrong with a user's file."""

import pytest

from pytest_gptoss.errors import UsageError
from pytest_gptoss.judge.diagnosis import LogLine, explained, load_signatures, read_symptoms
from pytest_gptoss.judge.metrics.capability import PARSER_FLAGS

TABLE = load_signatures()


KNOWN = [
    ("RuntimeError: RopeOperation setup failed", "rope-operation", "--enforce-eager"),
    ("[rank0]:[E903 compiler_depend.ts:429] RopeOperation setup failed!", "rope-operation", "eager"),
    ("OutOfMemoryError: NPU out of memory", "npu-out-of-memory", "--max-model-len 32768"),
    (
        "RuntimeError: NPU out of memory. Tried to allocate 22.00 MiB (NPU 6; 60.97 GiB total capacity)",
        "npu-out-of-memory", "expandable_segments:True",
    ),
    ("RuntimeError: EZ9999: [PID:41] 507903... ACL Graph capture error", "acl-graph-capture", "AIV"),
    ("Warning: EZ9999: Inner Error", "ascend-inner-error", "ASCEND_LAUNCH_BLOCKING"),
    ("torch.OutOfMemoryError: CUDA out of memory. Tried 2 GiB", "gpu-out-of-memory", "smaller"),
    ("ValueError: mxfp4 quantization is currently not supported in npu.", "mxfp4", "BF16 checkpoint"),
    ("ValueError: Out of range float values are not JSON compliant: nan", "not-a-number", "NaN"),
    ("HarmonyError: Unexpected token 12 while expecting start token 200006", "harmony-parser", "harmony"),
    ("HarmonyError: error downloading or loading vocab file", "harmony-vocabulary", "TIKTOKEN"),
    ("logprobs of 21, which is greater than max allowed: 20", "too-many-logprobs", "--max-logprobs"),
    (
        '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set',
        "no-tool-parser", "openai_gptoss",
    ),
    ("EngineDeadError: EngineCore encountered an issue.", "engine-dead", "start the server"),
    (
        "[rank0]:[E compiler_depend.ts:444] NPU function error: c10_npu::acl::AclmdlRICaptureEnd, "
        "error code is 107027", "acl-graph-capture", "AIV",
    ),
    ("[ERROR] 2025-06-03-14:54:23 (PID:8648, Device:0, RankID:-1) ERR00100 PTA call acl api failed.",
     "ascend-inner-error", "ASCEND_LAUNCH_BLOCKING"),
    ("NPU function error: call failed, error code is 507014", "ascend-inner-error", "ASCEND_LAUNCH_BLOCKING"),
    ("error code is 207001", "ascend-inner-error", "operator"),
    ("EE9999: Inner Error!", "ascend-inner-error", "ASCEND_LAUNCH_BLOCKING"),
    ("NotImplementedError: Mxfp4 linear layer is not implemented", "mxfp4", "BF16 checkpoint"),
    (
        "INFO [loggers.py:248] Engine 000: Avg prompt throughput: 9.1 tokens/s, Avg generation throughput: "
        "80.0 tokens/s, Running: 15 reqs, Waiting: 1 reqs, Preemptions: 3, GPU KV cache usage: 99.8%",
        "preemption", "KV cache",
    ),
    (
        "WARNING Sequence group 3 is preempted by PreemptionMode.RECOMPUTE mode because there is not enough "
        "KV cache space.", "preemption", "--max-num-seqs",
    ),
]  # fmt: skip
"""A line as servers write it, the signature that knows it, and words of its remedy."""


@pytest.mark.parametrize(("line", "name", "remedy"), KNOWN)
def test_a_known_line_is_recognised(line, name, remedy):
    found = TABLE.match(line)
    assert found is not None
    assert found.name == name
    assert remedy in found.remedy


def test_every_signature_knows_a_real_line():
    assert {name for _, name, _ in KNOWN} == {each.name for each in TABLE.log}


def test_no_shipped_signature_claims_to_explain_everything():
    for signature in TABLE.log:
        for stated in ("preflight.distinct", "preflight.clock", "preflight.date", "preflight.versions"):
            line = LogLine("npu", "npu.log", 1, "x", signature)
            assert not explained([line], stated, ["npu"]), signature.name


def test_remedies_quote_the_parser_flags_that_all_quote():
    quoted = [TABLE.match("requires --enable-auto-tool-choice and --tool-call-parser").remedy]
    quoted += [each.remedy for each in TABLE.symptoms if "--tool-call-parser" in each.remedy]
    assert len(quoted) > 1
    assert all(flag in remedy for remedy in quoted for flag in PARSER_FLAGS.split(" --"))


@pytest.mark.parametrize(
    "line",
    [
        "INFO: 127.0.0.1 - POST /v1/chat/completions HTTP/1.1 200 OK",
        "INFO Avg generation throughput: 22.3 tokens/s, Running: 1 reqs, GPU KV cache usage: 0.0%",
        "INFO Capturing ACL graphs (mixed prefill-decode, PIECEWISE): 100%",
        "INFO non-default args: {'max_logprobs': 20, 'quantization': None}",
        "INFO [config.py] quantization mxfp4 is used",
        "WARNING MXFP4 linear layer is not implemented - falling back to UnquantizedLinearMethod.",
        "WARNING MXFP4 linear layer is not implemented on TPU - using unquantized linear method.",
        "WARNING mxfp4 is not supported by this kernel, falling back to Marlin",
        "INFO Engine 000: Avg prompt throughput: 9.1 tokens/s, Running: 15 reqs, Waiting: 0 reqs",
        "INFO vllm:num_preemptions_total 0.0",
        "INFO preemption mode is recompute when there is not enough KV cache space",
        "INFO aclmdlRICaptureBegin done, capture sizes [1, 2, 4]",
        "INFO exit code is 507",
        "INFO request cmpl-507014 finished",
    ],
)
def test_a_harmless_line_is_not(line):
    assert TABLE.match(line) is None


def test_a_finding_names_its_place_and_the_rows_it_may_explain():
    signature = TABLE.match("RopeOperation setup failed")
    line = LogLine("npu", "npu.log", 7, "RopeOperation setup failed", signature)
    found = line.document([("precision.kl", ["npu", "gpu"]), ("preflight.baseline", ["gpu"])])
    assert (found["file"], found["line"], found["explains"]) == ("npu.log", 7, ["precision.kl"])
    assert explained([line, line], "precision.kl", ["npu", "gpu"]) == [line]
    assert explained([line], "precision.kl", ["tp8", "gpu"]) == []


def test_a_signature_explains_only_what_it_can():
    signature = TABLE.match("logprobs of 30, which is greater than max allowed: 20")
    line = LogLine("npu", "npu.log", 7, "x", signature)
    assert explained([line], "precision.kl", ["npu"])
    assert not explained([line], "needle.recall.d000-1k", ["npu"])


def rows(npu="npu", **verdicts):
    return [
        {"npu": npu, "threshold_id": name.replace("__", "."), "verdict": status, "value": value}
        for name, (status, value) in verdicts.items()
    ]


def names(found):
    return [each["name"] for each in found]


def test_decode_departs_from_prefill():
    found = read_symptoms(TABLE.symptoms, rows(precision__decode_prefill=("FAIL", 0.4)), {})
    assert names(found) == ["decode-departs-from-prefill"]
    assert "--enforce-eager" in found[0]["remedy"]
    assert found[0]["explains"] == ["precision.decode_prefill"]
    assert not read_symptoms(TABLE.symptoms, rows(precision__decode_prefill=("INVALID", None)), {})


def test_leakage_points_at_the_parser():
    found = read_symptoms(TABLE.symptoms, rows(precision__leakage=("FAIL", 3.0)), {})
    assert names(found) == ["control-tokens-leak"]
    assert "--reasoning-parser openai_gptoss" in found[0]["remedy"]


@pytest.mark.parametrize(
    ("value", "version", "shown"),
    [(900.0, None, True), (900.0, "0.18.0rc1", True), (900.0, "0.19.1rc1", False), (1.5, None, False)],
)
def test_an_exploding_perplexity_points_at_the_activation(value, version, shown):
    versions = {} if version is None else {"npu": {"vllm_ascend": version}}
    found = read_symptoms(TABLE.symptoms, rows(precision__perplexity_diff=("FAIL", value)), versions)
    assert ("perplexity-explodes" in names(found)) == shown
    if shown:
        assert "swiglu" in found[0]["remedy"]


@pytest.mark.parametrize(
    ("signed", "name"), [(900.0, "perplexity-explodes"), (-99.5, "baseline-explodes"), (-1.5, None)]
)
def test_who_explodes_is_told_by_the_sign(signed, name):
    (row,) = rows(precision__perplexity_diff=("FAIL", abs(signed)))
    found = read_symptoms(TABLE.symptoms, [{**row, "details": {"relative_percent": signed}}], {})
    assert names(found) == ([] if name is None else [name])


def test_what_must_hold_must_have_been_judged():
    forked = {"precision__token_match_rate": ("FAIL", 0.5)}
    sound = {f"precision__{name}": ("PASS", 0.0) for name in ("forced_agreement", "kl", "perplexity_diff")}
    assert names(read_symptoms(TABLE.symptoms, rows(**forked, **sound), {})) == ["only-ties-fork"]
    assert not read_symptoms(TABLE.symptoms, rows(**forked), {})
    broken = {**sound, "precision__kl": ("FAIL", 1.0)}
    assert not read_symptoms(TABLE.symptoms, rows(**forked, **broken), {})


@pytest.mark.parametrize("grid", [("d000", "1k"), ("d100", "1k")])
def test_far_needles_show_in_every_grid(grid):
    depth, near = grid
    found = rows(
        **{f"needle__recall__{depth}-{near}": ("PASS", 1.0), "needle__recall__d000-128k": ("FAIL", 0.0)}
    )
    assert names(read_symptoms(TABLE.symptoms, found, {})) == ["far-needles-missed"]
    near_too = rows(
        **{f"needle__recall__{depth}-{near}": ("FAIL", 0.0), "needle__recall__d000-128k": ("FAIL", 0.0)}
    )
    assert not read_symptoms(TABLE.symptoms, near_too, {})


def test_each_device_has_its_own_symptoms():
    both = [*rows("tp1", precision__leakage=("PASS", 0.0)), *rows("tp8", precision__leakage=("FAIL", 1.0))]
    assert [each["device"] for each in read_symptoms(TABLE.symptoms, both, {})] == ["tp8"]


def test_a_users_file_adds_and_replaces(tmp_path):
    path = tmp_path / "ours.toml"
    path.write_text(
        '[log.ours]\npattern = "fan stopped"\nremedy = "Clean it."\nexplains = ["performance.*"]\n'
        '[log.rope-operation]\npattern = "RopeOperation"\nremedy = "Ask Li."\n'
        '[symptom.slow]\nfails = ["performance.*"]\nremedy = "Wait."\n'
    )
    table = load_signatures([path])
    assert table.match("the fan stopped").remedy == "Clean it."
    assert table.match("RopeOperation setup failed").remedy == "Ask Li."
    assert len(table.symptoms) == len(TABLE.symptoms) + 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[log.a]\npattern = '('\nremedy = 'x'\n", "no regular expression"),
        ("[log.a]\npattern = 'x'\n", "'remedy' is missing"),
        ("[log.a]\npattern = 1\nremedy = 'x'\n", "pattern is 1"),
        ("[log.a]\npattern = 'x'\nremedy = 'x'\nfix = 'x'\n", "unknown field 'fix'"),
        ("[log.a]\npattern = 'x'\nremedy = 'x'\nexplains = 'x'\n", "a list of texts"),
        ("[symptom.a]\nfails = ['x']\nremedy = 'x'\nabove = {x = 'y'}\n", "it takes a number"),
        ("[logs.a]\npattern = 'x'\n", "'logs'"),
        ("log = 3\n", "ours.toml"),
        ("[log]\na = 3\n", "no table"),
        ("", "nothing"),
        ("nope", "not a TOML file"),
    ],
)
def test_a_bad_file_is_a_usage_error(tmp_path, text, words):
    path = tmp_path / "ours.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=r"ours\.toml") as error:
        load_signatures([path])
    assert words in str(error.value)
    assert "\n" not in str(error.value)

"""Signatures in log lines, symptoms in verdicts, and what is wrong with a user's file."""

from fnmatch import fnmatchcase

import pytest

from pytest_gptoss.diagnosis.log_reading import LogLine, explained, read_answer, read_log
from pytest_gptoss.diagnosis.signature_files import load_signatures
from pytest_gptoss.diagnosis.symptoms import read_symptoms
from pytest_gptoss.judge.registry import metric_named, shipped_metric
from pytest_gptoss.judge.roles import Roles
from pytest_gptoss.judge.thresholds import load_profile, profile_names
from pytest_gptoss.judge.tool_parser import PARSER_FLAGS
from pytest_gptoss.model.errors import UsageError
from pytest_gptoss.model.fleet import FleetTask
from pytest_gptoss.scenarios.kinds import Preflight

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
    ("(APIServer pid=1) pydantic_core.ValidationError: Value error, mxfp4 quantization is currently not "
     "supported in npu. [type=value_error]", "mxfp4", "BF16 checkpoint"),
    ("1: error sending request for url (https://openaipublic.blob.core.windows.net/encodings/o200k_base.tiktoken)",
     "harmony-vocabulary", "TIKTOKEN_ENCODINGS_BASE"),
    ("ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization`",
     "no-room-for-cache", "--max-model-len"),
    ("ValueError: To serve at least one request with the model's max seq len (131072), (3.0 GiB KV cache is "
     "needed, which is larger than the available KV cache memory (1.2 GiB).", "no-room-for-cache", "cards"),
    ("ValueError: Free memory on device (10.1/60.9 GiB) on startup is less than desired GPU memory "
     "utilization (0.9, 54.9 GiB).", "no-room-for-cache", "who else is on the card"),
    ("[rank1]: EI0006: [PID: 129] 2025-04-08-18:07:20.444.436 Getting socket times out. Reason: Remote Rank "
     "did not send the data in time.", "hccl", "HCCL_CONNECT_TIMEOUT"),
    ("[PID: 749] 2025-12-29-03:16:15.787.356 Get_Socket_Timeout(EI0006): Getting socket times out.", "hccl",
     "hccn_tool"),
    ("[rank1]:[E324 13:00:25 compiler_depend.ts:574] [Rank 1] Watchdog caught collective operation timeout: "
     "WorkHCCL(SeqNum=196, OpType=ALLREDUCE, Timeout(ms)=3600000) ran for 3600185 milliseconds before timing "
     "out.", "hccl", "rank that failed first"),
    ("(EngineCore_DP0 pid=77) INFO 10-22 09:43:49 [shm_broadcast.py:466] No available shared memory "
     "broadcast block found in 60 seconds. This typically happens when some processes are hanging or doing "
     "some time-consuming work (e.g. compilation).", "worker-stuck", "a worker hangs"),
    ("EH9999: Inner Error!", "ascend-inner-error", "ASCEND_LAUNCH_BLOCKING"),
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


def test_known_lines_are_recognised():
    for line, name, remedy in KNOWN:
        found = TABLE.match(line)
        assert found is not None, line
        assert (found.name, remedy in found.remedy) == (name, True), line


# -- registered everywhere --------------------------------------------------------------------


def test_every_signature_has_a_known_line_a_remedy_and_a_source():
    known = {name for _, name, _ in KNOWN} | {name for name, _, _ in STAGES}
    lacking = {f"log.{each.name}: a line in KNOWN or STAGES" for each in TABLE.log if each.name not in known}
    for kind, entries in (("log", TABLE.log), ("symptom", TABLE.symptoms)):
        for each in entries:
            words = {"remedy": each.remedy, "source": each.source}
            lacking |= {f"{kind}.{each.name}: {word}" for word, text in words.items() if not text.strip()}
    assert lacking == set()


ROWS = {
    row.id: metric_named(row.metric)
    for name in profile_names()
    for row in load_profile(name).thresholds.values()
    if shipped_metric(row.metric)
}
ALL_ROLES = Roles(subject="tp8", gpu="gpu", cpu="cpu", first="tp1", fleet=FleetTask(("tp8", "n2", "n3")))
BREAKDOWNS = (
    "rope-operation", "out-of-memory-at-capture", "out-of-memory-at-load", "no-room-for-cache",
    "npu-out-of-memory", "hccl", "worker-stuck", "acl-graph-capture", "ascend-inner-error",
    "gpu-out-of-memory", "harmony-vocabulary", "engine-dead",
)  # fmt: skip
"""Signatures after which a server answers nothing more, or nothing that can be judged."""


def _comes_from_requests(row_id):
    """Whether a row asks a model for an answer, or a server whether it answers at all."""
    scenarios = ROWS[row_id].needs(ALL_ROLES).values()
    asks = any(not isinstance(each, Preflight) for each in scenarios)
    return asks or row_id in ("preflight.ready", "preflight.baseline")


def test_a_breakdown_explains_every_row_that_sends_requests_and_no_other():
    by_name = {each.name: each for each in TABLE.log}
    due = {row_id for row_id in ROWS if _comes_from_requests(row_id)}
    assert len(due) > 50
    for name in BREAKDOWNS:
        explains = {row_id for row_id in ROWS if by_name[name].may_explain(row_id)}
        assert explains == due, f"log.{name}: see the groups of rows in signatures.py"


def test_a_failed_row_of_a_new_kind_is_explained_without_a_change_here():
    dead = TABLE.match("EngineDeadError")
    for row_id in ("capability.batch", "capability.beams", "capability.memory", "ours.answer_length"):
        assert dead.may_explain(row_id), row_id


def test_every_pattern_of_an_entry_finds_a_row():
    entries = [(each.name, each.explains) for each in TABLE.log]
    entries += [(each.name, (*each.fails, *each.holds, *each.above, *each.below)) for each in TABLE.symptoms]
    groups = ("answering", "measured")
    dead = {
        (name, pattern)
        for name, patterns in entries
        for pattern in patterns
        if pattern not in groups and not any(fnmatchcase(row_id, pattern) for row_id in ROWS)
    }
    assert dead == set()


# -- what a log shows -------------------------------------------------------------------------


NPU_OOM = "torch.OutOfMemoryError: NPU out of memory. Tried to allocate 1.98 GiB"
CUDA_OOM = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 1.98 GiB"
STAGES = [
    ("out-of-memory-at-load", ["INFO [model_runner_v1.py:2] Starting to load model /models/gpt-oss-20b...",
                               NPU_OOM], "42 GB in BF16"),
    ("out-of-memory-at-load", ["Loading safetensors checkpoint shards:  33% Completed | 1/3", CUDA_OOM],
     "--tensor-parallel-size"),
    ("out-of-memory-at-capture", [
        "INFO Starting to load model /models/gpt-oss-20b...", "INFO Loading model weights took 39.2 GB",
        "Capturing ACL graphs (mixed prefill-decode, PIECEWISE):  14%|###| 1/7 [00:01<00:08]", NPU_OOM,
     ], "cudagraph_capture_sizes"),
    ("out-of-memory-at-capture", ["Capturing CUDA graphs (decode, FULL): 98%|###| 81/83", CUDA_OOM], "0.85"),
    ("npu-out-of-memory", [
        "Loading safetensors checkpoint shards: 100%", "INFO Model loading took 39.2 GB and 12 seconds",
        "INFO Graph capturing finished in 21 secs, took 0.23 GiB", NPU_OOM,
     ], "--max-num-seqs 8"),
]  # fmt: skip
"""A signature, the lines of a start that show it, and words of its remedy."""


def read(*lines):
    return read_log(enumerate(lines, start=1), TABLE, device="npu", file="npu.log")


def test_the_stage_of_a_start_tells_why_memory_ran_out():
    for name, lines, remedy in STAGES:
        (found,) = read(*lines)
        assert (found.signature.name, found.line) == (name, len(lines)), lines
        assert remedy in found.signature.remedy, lines


@pytest.mark.parametrize(
    ("lines", "name", "words"),
    [
        (("EZ9999: Inner Error!", "        rtStreamSynchronize execute failed, reason=[aicore exception]",
          "        TraceBack (most recent call last):"), "ascend-inner-error", "reason=[aicore exception]"),
        (("(Worker pid=7) EE9999: Inner Error!",
          "(Worker pid=7) EE9999[PID: 18] 2026-04 (EE9999):  [SqCqManage]Alloc sq cq fail, stream_id=1984"),
         "ascend-inner-error", "Alloc sq cq fail"),
        (("EZ9999: Inner Error!", "EZ9999: [PID: 41] 2025-11-29-10:54:13", "  TraceBack (most recent call):",
          "  The error from device(chipId:1, dieId:0), there is an exception of fftsplus aicore error"),
         "ascend-inner-error", "error from device"),
        (("RuntimeError: EZ9999: Inner Error!", "", "[PID:41] 507903 ACL Graph capture failed"),
         "acl-graph-capture", "507903"),
    ],
)  # fmt: skip
def test_an_inner_error_is_quoted_with_its_cause(lines, name, words):
    (found,) = read(*lines)
    assert (found.line, found.signature.name) == (1, name)
    assert found.text.startswith(lines[0])
    assert words in found.text
    assert words in found.document([])["text"]


def test_a_cause_is_looked_for_nearby_only():
    (found,) = read("EZ9999: Inner Error!", *["INFO x"] * 30, "ERROR the request failed")
    assert found.text == "EZ9999: Inner Error!"
    first, second = read("EZ9999: Inner Error!", "CUDA out of memory", "it failed")
    assert [first.signature.name, second.signature.name] == ["ascend-inner-error", "gpu-out-of-memory"]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("POST http://npu/v1/completions answered 500 Internal Server Error (EngineCore encountered an issue."
         " See stack trace (above) for the root cause.): see the server's log", "engine-dead"),
        ("POST http://npu/v1/completions answered 400 Bad Request (Requested prompt logprobs of 20, which is "
         "greater than max allowed: 5): serve with more", "too-many-logprobs"),
        ("POST http://npu/v1/chat/completions answered 500 Internal Server Error (error downloading or "
         "loading vocab file: failed to download or load vocab file): see its log", "harmony-vocabulary"),
        ("the stream carries an error: NPU out of memory. Tried to allocate 2.00 GiB", "npu-out-of-memory"),
    ],
)  # fmt: skip
def test_an_error_text_in_an_answer_is_known_too(text, name):
    found = read_answer(text, TABLE, device="npu")
    assert found.signature.name == name
    document = found.document([("precision.kl", ["npu"])])
    assert (document["kind"], document["file"], document["line"]) == ("answer", None, None)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "GET http://npu/v1/models: no server answers there: is it started?",
        "POST http://npu/pooling answered 404 Not Found ({'detail': 'Not Found'}): is it a pooling server?",
        "POST http://npu/v1/chat/completions: no token within 60 s",
    ],
)
def test_another_error_text_is_not(text):
    assert read_answer(text, TABLE, device="npu") is None


def test_the_symptom_of_the_activation_names_all_three_defects():
    (symptom,) = (each for each in TABLE.symptoms if each.name == "perplexity-explodes")
    for words in ("swiglu", "0.19.1rc1", "swa_mask", "sinks", "FULL_DECODE_ONLY", "0.20.2rc1"):
        assert words in symptom.remedy, words


def test_the_guides_remedy_for_the_rotary_operator_stays_and_the_guess_is_called_one():
    remedy = TABLE.match("RopeOperation setup failed").remedy
    guides, guess, rest = remedy.partition("A guess")
    assert "--enforce-eager" in guides
    assert "graph capture" in guides
    assert guess
    assert "triton-ascend" in rest


def test_no_shipped_signature_claims_to_explain_everything():
    for signature in TABLE.log:
        for stated in ("preflight.distinct", "preflight.clock", "preflight.date", "preflight.versions"):
            assert not signature.may_explain(stated), signature.name


def test_remedies_quote_the_parser_flags_that_all_quote():
    quoted = [TABLE.match("requires --enable-auto-tool-choice and --tool-call-parser").remedy]
    quoted += [each.remedy for each in TABLE.symptoms if "--tool-call-parser" in each.remedy]
    assert len(quoted) > 1
    assert all(flag in remedy for remedy in quoted for flag in PARSER_FLAGS.split(" --"))


def test_harmless_lines_are_not_recognised():
    harmless = [
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
        "INFO [hccl.py] HCCL backend is used, HCCL_CONNECT_TIMEOUT=120",
        "INFO TIKTOKEN_ENCODINGS_BASE is /models/vocab",
        "INFO [kv_cache_utils.py:868] Maximum concurrency for 20,000 tokens per request: 14.64x",
        "INFO GPU KV cache size: 222,592 tokens, available KV cache memory 1.2 GiB",
    ]
    assert [line for line in harmless if TABLE.match(line) is not None] == []


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
        ("[log.a]\npattern = 'x'\nremedy = 'x'\ncause = '('\n", "no regular expression"),
        ("[log.a]\npattern = 'x'\nremedy = 'x'\nuntil = 'y'\n", "give 'after' too"),
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

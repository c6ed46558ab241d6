"""How far load clients are off: ours beside its peers, against a server that stamps its own writes.

    python benchmarks/instrument.py --peers DIR [--rounds 3] [--clients ours,aiohttp] [--concurrency 1,16]

Writes benchmarks/instrument.md. Each cell is a fresh client process on one core and a fresh
ground-truth server on the other: 80 ms to the first token, 5 ms a token, 64 tokens, closed loop. Rounds
go over all clients in turn, so that what else the machine does hits all alike; cells are medians over rounds.

``DIR`` holds the peers; one that is absent is left out and said:

    python3 -m venv DIR/guidellm && DIR/guidellm/bin/pip install guidellm==0.8.1
    python3 -m venv DIR/aiperf && DIR/aiperf/bin/pip install aiperf==0.13.0
    ln -s WHERE/vllm/is/installed DIR/vllm                # a virtual environment: vllm 0.32, aiohttp
    python -m pytest_gptoss.reference export DIR/tiny     # the tokenizer that peers ask for

The truth of a request: the server had read it whole -> it wrote the first event with a token. The error:
what the client reports, less that. Where a client reports its request ids, each is held against its own
truth; where not, all against the mean true one. Load held: requests that the server saw in flight, on
average while there were more to come, over those asked for. Start-up: process started -> first request read.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import platform
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from parts import text_of_parts

from pytest_gptoss.model.paths import CHAT_PATH
from pytest_gptoss.scenarios.calibration import load_held
from pytest_gptoss.scenarios.truth import TrueRequest, TruthServer, truth_server

HERE = Path(__file__).parent
TOKENS = 64
SIZES = {1: 40, 4: 80, 16: 240, 64: 640, 256: 1536}
"""Requests at each concurrency."""
FLAT_OUT = (64, 1600)
"""Concurrency and requests of the flat-out run: the server writes without any pause."""
CLIENT_CORE, SERVER_CORE = 0, 1
LONGEST_S = 300
VOCABULARY_URL = "https://openaipublic.blob.core.windows.net/encodings/o200k_base.tiktoken"


@dataclass(frozen=True, slots=True)
class Peer:
    """A load client: how to start it, and how to read the TTFTs it reports, in ms, by request id if any."""

    title: str
    command: Callable[[Job], list[str]]
    read: Callable[[Path], Mapping[str, float] | Sequence[float]]
    needs: str = ""
    heavy: bool = False
    """Takes long to start."""


@dataclass(frozen=True, slots=True)
class Job:
    """One run of one client; ``out`` is a directory of its own. ``rate``: of an open loop, a second."""

    url: str
    concurrency: int
    requests: int
    out: Path
    peers: Path
    rate: int = 0


@dataclass(slots=True)
class Cell:
    """What one run showed; times in ms, memory in MiB."""

    mean: float
    p99: float
    held: float
    start_up_s: float
    peak_mib: float
    tokens_per_s: float


PRIORITY_NOTE = (
    "The machine had other work, so each client's processes were scheduled before those of other sessions "
    "(autogroup nice -20), and the server at real-time priority.\n"
)


# -- the clients --------------------------------------------------------------------------------


def small(name: str, python: Callable[[Job], str]) -> Callable[[Job], list[str]]:
    """A client of load_clients.py."""
    return lambda job: [
        python(job), str(HERE / "load_clients.py"), name, job.url, str(job.concurrency),
        str(job.requests), str(TOKENS), str(job.out / "seen.json"),
    ]  # fmt: skip


def vllm(job: Job) -> list[str]:
    return [
        str(job.peers / "vllm/bin/vllm"), "bench", "serve", "--backend", "openai-chat",
        "--base-url", job.url, "--endpoint", CHAT_PATH, "--model", "truth",
        "--tokenizer", str(job.peers / "tiny"), "--dataset-name", "random",
        "--random-input-len", "1024", "--random-output-len", str(TOKENS),
        "--num-prompts", str(job.requests), "--max-concurrency", str(job.concurrency),
        "--request-id-prefix", "r", "--disable-tqdm", "--save-result",
        "--save-detailed", "--result-dir", str(job.out), "--result-filename", "seen.json",
    ]  # fmt: skip


def guidellm(job: Job) -> list[str]:
    return [
        str(job.peers / "guidellm/bin/guidellm"), "run",
        "--backend", f"kind=openai_http,target={job.url},model=truth",
        "--profile", f"kind=concurrent,streams={job.concurrency}",
        "--constraint", f"kind=max_requests,count={job.requests}",
        "--tokenizer", f"kind=huggingface_auto,model={job.peers / 'tiny'}",
        "--data", f"kind=synthetic_text,prompt_tokens=1024,output_tokens={TOKENS}",
        "--output", f"kind=json,path={job.out / 'seen.json'}", "--disable-console",
    ]  # fmt: skip


def aiperf(job: Job) -> list[str]:
    # Its built-in tokenizer wants a file that it would download; the one of the tiny checkpoint is the same.
    cached = job.out / "tiktoken" / hashlib.sha1(VOCABULARY_URL.encode()).hexdigest()
    cached.parent.mkdir()
    cached.symlink_to(HERE.parent / "fixtures/tiny-gpt-oss/o200k_base.tiktoken")
    return [
        str(job.peers / "aiperf/bin/aiperf"), "profile", "--model", "truth", "--url", job.url,
        "--endpoint-type", "chat", "--streaming", "--concurrency", str(job.concurrency),
        "--request-count", str(job.requests), "--tokenizer", "builtin",
        "--synthetic-input-tokens-mean", "1024", "--synthetic-input-tokens-stddev", "0",
        "--output-tokens-mean", str(TOKENS), "--output-tokens-stddev", "0",
        "--artifact-dir", str(job.out), "--ui", "none",
    ]  # fmt: skip


def read_small(out: Path) -> Mapping[str, float]:
    seen: Mapping[str, float] = json.loads((out / "seen.json").read_text("utf-8"))
    return seen


def read_vllm(out: Path) -> Mapping[str, float]:
    ttfts = json.loads((out / "seen.json").read_text("utf-8"))["ttfts"]
    return {f"r{place}": 1e3 * ttft for place, ttft in enumerate(ttfts)}


def read_guidellm(out: Path) -> Sequence[float]:
    document = json.loads((out / "seen.json").read_text("utf-8"))
    done = document["benchmarks"][0]["requests"]["successful"]
    return [request["time_to_first_token_ms"] for request in done]


def read_aiperf(out: Path) -> Mapping[str, float]:
    lines = next(out.rglob("profile_export.jsonl")).read_text("utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    return {
        each["metadata"]["x_request_id"]: each["metrics"]["time_to_first_token"]["value"]
        for each in records
        if each["metadata"]["benchmark_phase"] == "profiling"
    }


CLIENTS = {
    "vllm": Peer("vllm bench serve 0.32", vllm, read_vllm, "vllm/bin/vllm", heavy=True),
    "guidellm": Peer("guidellm 0.8.1", guidellm, read_guidellm, "guidellm/bin/guidellm", heavy=True),
    "aiperf": Peer("aiperf 0.13", aiperf, read_aiperf, "aiperf/bin/aiperf", heavy=True),
    "httpx": Peer("plain httpx", small("httpx", lambda _: sys.executable), read_small),
    "aiohttp": Peer(
        "plain aiohttp",
        small("aiohttp", lambda job: str(job.peers / "vllm/bin/python")),
        read_small,
        "vllm/bin/python",
    ),
    "ours": Peer("pytest-gptoss", small("ours", lambda _: sys.executable), read_small),
}


# -- one run ------------------------------------------------------------------------------------


def run(
    client: Peer,
    concurrency: int,
    requests: int,
    peers: Path,
    *,
    flat_out: bool = False,
    priority: bool = False,
) -> Cell:
    """Run a client once against a server of its own."""
    first, interval = (0, 0) if flat_out else (80, 5)
    with (
        truth_server(f"--first-token-ms={first}", f"--interval-ms={interval}") as server,
        tempfile.TemporaryDirectory() as scratch,
    ):
        os.sched_setaffinity(server.process.process.pid, {SERVER_CORE})
        if priority:
            os.sched_setscheduler(server.process.process.pid, os.SCHED_FIFO, os.sched_param(20))
        job = Job(server.endpoint.root, concurrency, requests, Path(scratch), peers)
        started_ns, peak = follow(client.command(job), Path(scratch), priority=priority)
        return judged(client.read(job.out), measured(server, requests), concurrency, started_ns, peak)


def follow(command: Sequence[str], scratch: Path, *, priority: bool) -> tuple[int, float]:
    """Run a command on its core to its end: when it began, and the most memory all its processes held."""
    with (scratch / "log.txt").open("w+") as log:
        started_ns = time.monotonic_ns()
        process = subprocess.Popen(
            ["taskset", "-c", str(CLIENT_CORE), *command],
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=scratch,
            start_new_session=True,
            env={
                **os.environ,
                "HF_HUB_OFFLINE": "1",
                "NO_PROXY": "127.0.0.1",
                "TIKTOKEN_CACHE_DIR": str(scratch / "tiktoken"),
            },
        )
        peak = 0.0
        try:
            if priority:
                # Its session is a scheduling group of its own: all its processes, before other groups.
                Path(f"/proc/{process.pid}/autogroup").write_text("-20")
            while process.poll() is None:
                if time.monotonic_ns() - started_ns > LONGEST_S * 1e9:
                    raise TimeoutError(f"{command[0]} took longer than {LONGEST_S} s")
                peak = max(peak, sum(_resident_mib(pid) for pid in _session(process.pid)))
                time.sleep(0.2)
        finally:
            for pid in _session(process.pid):
                os.kill(pid, 9)
            process.wait()
        if process.returncode:
            log.seek(0)
            raise RuntimeError(f"{command[0]} ended with {process.returncode}: {log.read()[-1500:]}")
    return started_ns, peak


def measured(server: TruthServer, requests: int) -> list[TrueRequest]:
    """The last ``requests`` that the server answered in whole: some clients try it first."""
    whole = sorted((each for each in server.all_stamps() if each.end_ns), key=lambda each: each.read_ns)
    return whole[-requests:]


def errors_of(seen: Mapping[str, float] | Sequence[float], true: Sequence[TrueRequest]) -> list[float]:
    """What a client reports as TTFT less the true one, ms, the least first."""
    truth = {each.id: (each.token_ns[0] - each.read_ns) / 1e6 for each in true}
    mean = statistics.fmean(truth.values())
    values = seen if isinstance(seen, Mapping) else dict(enumerate(seen))
    return sorted(value - truth.get(str(name), mean) for name, value in values.items())


def judged(
    seen: Mapping[str, float] | Sequence[float],
    true: Sequence[TrueRequest],
    concurrency: int,
    started_ns: int,
    peak: float,
) -> Cell:
    """Hold what a client reports against what the server did."""
    errors = errors_of(seen, true)
    reads = sorted(each.read_ns for each in true)
    tokens = TOKENS * (len(reads) - concurrency)
    return Cell(
        mean=statistics.fmean(errors),
        p99=errors[math.ceil(0.99 * len(errors)) - 1],
        held=load_held(true, concurrency),
        start_up_s=(reads[0] - started_ns) / 1e9,
        peak_mib=peak,
        # Each request after the first ones is sent only when an answer has been read to its end.
        tokens_per_s=tokens / max((reads[-1] - reads[0]) / 1e9, 1e-9),
    )


def _session(leader: int) -> Iterator[int]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[3]) == leader:
                yield int(entry.name)


def _resident_mib(pid: int) -> float:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0.0
    return pages * os.sysconf("SC_PAGESIZE") / 2**20


# -- the table ----------------------------------------------------------------------------------


@dataclass(slots=True)
class Results:
    """Cells by client and concurrency, one for each round; flat-out ones by client; what went wrong."""

    cells: dict[tuple[str, int], list[Cell]] = field(default_factory=dict)
    flat: dict[str, list[Cell]] = field(default_factory=dict)
    trouble: dict[str, str] = field(default_factory=dict)


def median(cells: Sequence[Cell], name: str) -> float:
    return statistics.median(getattr(cell, name) for cell in cells)


def markdown(results: Results, levels: Sequence[int], clients: Sequence[str], about: str) -> str:
    head = ["client", *(f"c={level}" for level in levels), "start-up s", "peak MiB", "flat-out tok/s"]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for name in clients:
        own = [cell for level in levels for cell in results.cells.get((name, level), ())]
        if not own:
            continue
        row = [CLIENTS[name].title, *(_cell(results.cells.get((name, level), ())) for level in levels)]
        starts = [cell.start_up_s for cell in own]
        peaks = [max((cell.peak_mib for cell in own), default=0.0)]
        flat = results.flat.get(name, [])
        row.append(f"{min(starts):.1f}-{max(starts):.1f}")
        row.append(f"{max(peaks):,.0f}")
        row.append(f"{median(flat, 'tokens_per_s'):,.0f}" if flat else "-")
        lines.append(f"| {' | '.join(row)} |")
    table = "\n".join(lines)
    trouble = "".join(f"\n{CLIENTS[name].title}: {words}.\n" for name, words in results.trouble.items())
    return f"{about}\n{table}\n{trouble}\n{ratios(results, levels, clients)}"


def _cell(cells: Sequence[Cell]) -> str:
    if not cells:
        return "-"
    return f"{median(cells, 'mean'):.2f} / {median(cells, 'p99'):.1f}, {median(cells, 'held'):.0%}"


def ratios(results: Results, levels: Sequence[int], clients: Sequence[str]) -> str:
    """How many times a peer's mean error is ours, of the same round; medians over rounds."""
    head = ["mean error / ours", *(f"c={level}" for level in levels)]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for name in clients:
        if name == "ours" or all((name, level) not in results.cells for level in levels):
            continue
        row = [CLIENTS[name].title]
        for level in levels:
            theirs, mine = results.cells.get((name, level), []), results.cells.get(("ours", level), [])
            # A peer that is left out of some rounds is held against the first ones.
            pairs = [abs(a.mean) / max(abs(b.mean), 1e-3) for a, b in zip(theirs, mine, strict=False)]
            row.append(f"{statistics.median(pairs):.1f}" if pairs else "-")
        lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines) + "\n"


def command_line(arguments: Sequence[str]) -> str:
    """The command as it was given, but for where the peers lie on this machine."""
    said = [
        "DIR" if before == "--peers" else "--peers=DIR" if argument.startswith("--peers=") else argument
        for before, argument in zip(["", *arguments], arguments, strict=False)
    ]
    return shlex.join(["python", "benchmarks/instrument.py", *said])


def about(command: str, rounds: int, load: Sequence[float], *, priority: bool) -> str:
    uvloop = "uvloop" if _has_uvloop() else "without uvloop"
    return (
        "# The instrument beside its peers\n\n"
        f"    {command}\n\n"
        "TTFT error in ms, mean / 99th percentile, and the share of the load held; medians of "
        f"{rounds} round{'s' if rounds > 1 else ''}.\n"
        "Server: 80 ms to the first token, 5 ms a token, 64 tokens, closed loop; "
        f"{', '.join(f'{SIZES[level]} requests at c={level}' for level in SIZES)}.\n"
        "Client pinned to one core, server to the other. Python "
        f"{platform.python_version()}, {uvloop}; {os.cpu_count()} cores, load average of the rest of the "
        f"machine {min(load):.1f} to {max(load):.1f} between runs.\n"
        f"{PRIORITY_NOTE * priority}"
        f"Flat out: {FLAT_OUT[1]} requests, {FLAT_OUT[0]} at once, the server never waits.\n"
    )


def _has_uvloop() -> bool:
    try:
        import uvloop  # noqa: F401
    except ImportError:
        return False
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--peers", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--heavy-rounds", type=int, help="rounds of vllm, guidellm and aiperf (default: all)")
    parser.add_argument(
        "--priority",
        action="store_true",
        help="run before all else on a busy machine (real-time, needs root)",
    )
    parser.add_argument("--clients", default=",".join(CLIENTS))
    parser.add_argument("--concurrency", default=",".join(map(str, SIZES)))
    parser.add_argument("--output", type=Path, default=HERE / "instrument.md")
    options = parser.parse_args()
    command = command_line(sys.argv[1:])
    peers = options.peers.absolute()
    levels = [int(each) for each in options.concurrency.split(",")]
    clients = options.clients.split(",")
    results, load = Results(), [os.getloadavg()[0]]
    kept = text_of_parts(options.output)
    os.sched_setaffinity(0, {SERVER_CORE})
    for name in clients:
        if not (peers / CLIENTS[name].needs).exists():
            results.trouble[name] = "not installed, left out"
    for turn in range(options.rounds):
        for name in clients:
            heavy = CLIENTS[name].heavy
            if name in results.trouble or (heavy and turn >= (options.heavy_rounds or options.rounds)):
                continue
            one_round(results, name, levels, peers, priority=options.priority)
            load.append(os.getloadavg()[0])
            head = about(command, turn + 1, load, priority=options.priority)
            options.output.write_text(markdown(results, levels, clients, head) + kept, "utf-8")
    print(options.output.read_text("utf-8"))


def one_round(results: Results, name: str, levels: Sequence[int], peers: Path, *, priority: bool) -> None:
    client = CLIENTS[name]
    try:
        for level in levels:
            cell = run(client, level, SIZES[level], peers, priority=priority)
            results.cells.setdefault((name, level), []).append(cell)
            print(f"{client.title}, c={level}: {_cell([cell])}, up {cell.start_up_s:.2f} s", flush=True)
        cell = run(client, *FLAT_OUT, peers, flat_out=True, priority=priority)
        results.flat.setdefault(name, []).append(cell)
        print(f"{client.title}, flat out: {cell.tokens_per_s:,.0f} tok/s", flush=True)
    except (RuntimeError, TimeoutError, KeyError, StopIteration) as error:
        results.trouble[name] = " ".join(str(error).split())[-200:]
        print(f"{client.title}: {error}", flush=True)


if __name__ == "__main__":
    main()

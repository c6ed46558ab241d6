"""Starts pytest the way a terminal does, so that it can be interrupted."""

import signal
import subprocess
import sys

from pytest_gptoss.resources import acceptance_tests


def started_as_a_terminal_does(pytester, *arguments, before=""):
    """Start the acceptance tests: a shell's background job ignores Ctrl-C, and so would its child."""
    script = (
        "import signal, sys, pytest\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        f"{before}\n"
        "sys.exit(pytest.main(sys.argv[1:]))\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", script, str(acceptance_tests()), "-p", "no:cacheprovider", *arguments],
        cwd=pytester.path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def output_after_ctrl_c(process, reached):
    """Interrupt the process once the event ``reached`` is set; what it has printed when it has ended."""
    try:
        assert reached.wait(120)
        process.send_signal(signal.SIGINT)
        return process.communicate(timeout=60)[0]
    finally:
        process.kill()
        process.wait()

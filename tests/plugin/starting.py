"""Starts pytest the way a terminal does, so that it can be interrupted."""

import signal
import subprocess
import sys
import time

from pytest_gptoss.model.resources import acceptance_tests


def started_as_a_terminal_does(pytester, *arguments, before="", after="", **started):
    """Start the acceptance tests: a shell's background job ignores Ctrl-C, and so would its child.

    ``before`` and ``after`` are Python lines around them, ``started`` more for ``Popen``.
    """
    script = (
        "import signal, sys, pytest\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        f"{before}\n"
        "status = pytest.main(sys.argv[1:])\n"
        f"{after}\n"
        "sys.exit(status)\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", script, str(acceptance_tests()), "-p", "no:cacheprovider", *arguments],
        cwd=pytester.path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **started,
    )  # fmt: skip


def output_after_ctrl_c(process, reached):
    """Interrupt the process once the event ``reached`` is set; what it has printed when it has ended."""
    return output_after(process, reached, lambda: process.send_signal(signal.SIGINT))


def output_after(process, reached, act):
    """Do ``act`` once the event ``reached`` is set; what the process has printed when it has ended."""
    try:
        deadline = time.monotonic() + 120
        while not reached.wait(0.1):
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < deadline
        act()
        return process.communicate(timeout=60)[0]
    finally:
        process.kill()
        process.wait()

"""SIGTERM while a run is on: an interruption once, and no handler of anybody else's is touched."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from pytest_gptoss.run import termination
from pytest_gptoss.run.termination import Termination

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="nobody sends SIGTERM there")


@pytest.fixture(autouse=True)
def as_before():
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def terminated():
    os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize("ctrl_c", [signal.default_int_handler, signal.SIG_IGN])
def test_the_first_signal_interrupts_and_its_repetition_does_not(ctrl_c):
    signal.signal(signal.SIGINT, ctrl_c)
    with Termination() as termination:
        assert not termination.came
        with pytest.raises(KeyboardInterrupt):
            terminated()
        terminated()
        assert termination.came
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_what_handles_ctrl_c_is_asked():
    asked = []
    signal.signal(signal.SIGINT, lambda number, frame: asked.append(number))
    with Termination():
        terminated()
    assert asked == [signal.SIGINT]


def test_a_run_that_ends_is_not_interrupted():
    with Termination() as termination:
        termination.let_end()
        terminated()
        assert termination.came


@pytest.mark.parametrize("theirs", [signal.SIG_IGN, lambda number, frame: None])
def test_a_handler_of_the_users_stays(theirs):
    signal.signal(signal.SIGTERM, theirs)
    with Termination():
        assert signal.getsignal(signal.SIGTERM) is theirs
    assert signal.getsignal(signal.SIGTERM) is theirs


def test_a_handler_that_the_user_sets_meanwhile_stays():
    def theirs(number, frame): ...

    with Termination():
        signal.signal(signal.SIGTERM, theirs)
    assert signal.getsignal(signal.SIGTERM) is theirs


def test_one_inside_another_gives_it_back():
    with Termination() as outer:
        with Termination(), pytest.raises(KeyboardInterrupt):
            terminated()
        assert not outer.came
        with pytest.raises(KeyboardInterrupt):
            terminated()


def test_another_thread_installs_nothing():
    seen = []

    def act():
        with Termination():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=act)
    thread.start()
    thread.join()
    assert seen == [signal.SIG_DFL]


def test_a_forked_child_ends_at_once():
    with Termination():
        child = os.fork()
        if child == 0:
            terminated()
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 128 + signal.SIGTERM


def test_a_later_signal_ends_the_process_at_once():
    script = (
        "import os, signal\n"
        "from pytest_gptoss.run import termination\n"
        f"termination._REPEATED_S = {-termination._REPEATED_S}\n"
        "with termination.Termination():\n"
        "    try:\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "    except KeyboardInterrupt:\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], timeout=60, check=False)
    assert done.returncode == 128 + signal.SIGTERM

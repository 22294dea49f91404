"""A kernel process that waits: it becomes the notebook's kernel, and its absence is no error."""

import os
import signal
import sys
import time

import pytest

from mlops_lib import config, notebooks
from mlops_lib.steps import kernel_ahead, preload
from tests import toy_notebooks
from tests.support.waiting import LIMIT_S

GLUE = "from mlops_lib import notebooks\nnotebooks.glue(score={}, threshold=0.5, passed=True)"


@pytest.fixture
def waiting(monkeypatch):
    """Remembers each process that was started ahead."""
    seen = []
    take = kernel_ahead.take

    def taken():
        seen.append(take())
        return seen[-1]

    monkeypatch.setattr(kernel_ahead, "take", taken)
    return seen


@pytest.mark.slow
def test_the_notebook_runs_in_the_process_that_waited(toy, waiting):
    """The notebook's process id is that of the process that waited, and it ends with the notebook."""
    toy_notebooks.replace(toy.root, "03_evaluate", "import os, sys", GLUE.format("os.getpid()"))
    outputs = notebooks.run("03_evaluate")
    assert outputs.score == waiting[0].process.pid
    assert waiting[0].process.poll() is not None, "the kernel outlives its notebook"


@pytest.mark.parametrize("first", ["", "here"])
def test_no_module_of_the_current_folder_is_loaded_ahead(monkeypatch, tmp_path, first):
    """The folder leaves the path, under both names that Python has for it; the rest of the path stays."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [first and str(tmp_path), "/packages"])
    preload.leave_current_folder()
    assert sys.path == ["/packages"]


@pytest.mark.slow
def test_one_that_died_ahead_of_time_is_replaced(toy, monkeypatch):
    """kill -9 while it waits: Jupyter starts a kernel as it does elsewhere."""
    started = kernel_ahead.subprocess.Popen

    def killed(*arguments, **options):
        process = started(*arguments, **options)
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        return process

    monkeypatch.setattr(kernel_ahead.subprocess, "Popen", killed)
    with kernel_ahead.started(()):
        monkeypatch.undo()
        monkeypatch.setenv(config.CONFIG_ENV, str(toy.config_file))
        toy_notebooks.replace(toy.root, "03_evaluate", GLUE.format("0.75"))
        assert notebooks.run("03_evaluate").score == 0.75


def test_one_that_is_not_needed_is_stopped():
    """Nothing is left when the block ends without a kernel."""
    with kernel_ahead.started(()):
        process = kernel_ahead._waiting.process
        assert process.poll() is None
    assert process.returncode == -signal.SIGKILL and kernel_ahead.take() is None


@pytest.mark.slow
def test_one_ends_when_its_starter_is_gone():
    """The pipe is closed without orders."""
    with kernel_ahead.started(()):
        waiting = kernel_ahead.take()
    waiting.orders.close()
    assert waiting.process.wait(LIMIT_S) == 0


@pytest.mark.parametrize("command", [["R", "--slave"], [sys.executable, "-m", "xeus"], [sys.executable]])
def test_another_kind_of_kernel_is_refused(command):
    """A kernel specification with a command of its own is started as it says."""
    with kernel_ahead.started(()):
        waiting = kernel_ahead.take()
    with pytest.raises(OSError):
        waiting.become(command, ".", {})
    waiting.stop()


def test_a_forked_child_is_watched_like_a_process():
    """Exit codes, signals and a second look, as of `subprocess.Popen`."""
    ready, end = os.pipe()
    if not (pid := os.fork()):
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # the measuring of coverage has a handler
        os.write(end, b"x")
        time.sleep(600)
        os.kill(os.getpid(), signal.SIGKILL)
    os.close(end)
    assert os.read(ready, 1) == b"x"
    os.close(ready)
    child = kernel_ahead.Forked(pid)
    assert child.poll() is None
    child.terminate()
    assert child.wait() == child.poll() == -signal.SIGTERM
    child.kill()  # of what has ended: nothing happens

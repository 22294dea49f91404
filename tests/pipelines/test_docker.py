"""What is run inside a step's container, without a container."""

import signal
import subprocess
import sys

import pytest

from mlops_lib.step_cache.mode import StepCacheMode
from pipelines import docker, local
from pipelines.local_run import LocalRun
from tests.support.waiting import LIMIT_S

SLEEP = "import time; print('up', flush=True); time.sleep(600)"


def test_an_interrupt_ends_the_step_and_nothing_else(tmp_path):
    """The text that `stop` has a container run is a program that ends the step; the shell around it goes on."""
    step, shell = (
        subprocess.Popen([sys.executable, "-c", SLEEP, *words], stdout=subprocess.PIPE)
        for words in (["-m", "kfp.dsl.executor_main", "--x"], ["python -m kfp.dsl.executor_main --x"])
    )
    try:
        for process in (step, shell):
            process.stdout.readline()
            (tmp_path / str(process.pid)).symlink_to(f"/proc/{process.pid}")
        # A container has its own processes only; here, those of other tests must not be seen.
        assert '"/proc"' in docker.TERMINATE
        text = docker.TERMINATE.replace('"/proc"', repr(str(tmp_path)))
        subprocess.run([sys.executable, "-c", text], check=True)
        assert step.wait(LIMIT_S) == -signal.SIGTERM
        assert shell.poll() is None
    finally:
        for process in (step, shell):
            process.kill()
            process.communicate()


def test_the_source_of_an_argument_is_mounted(project, tmp_path, monkeypatch):
    """The runner of containers gets the settings of the step that reads the source, arguments included."""
    seen = []

    def docker_runner(settings, folder, variables):
        seen.append(settings.data.source)
        raise RuntimeError("far enough")

    monkeypatch.setattr(docker, "docker_runner", docker_runner)
    arguments = {"source": str(tmp_path / "rows.csv"), "limit": 5}
    run = LocalRun(
        project.settings(), project.config_file, "run", arguments, "docker", StepCacheMode(), print
    )
    with pytest.raises(RuntimeError, match="far enough"):
        run._start_kfp()
    assert seen == [str(tmp_path / "rows.csv")]


@pytest.mark.slow
def test_a_step_that_misses_is_looked_up_again_in_its_container(stored, monkeypatch):
    """The image may have another library than this process, and its own entries in the cache."""
    started = []

    class Run:
        def __init__(self, *values):
            started.append(values)

        def held(self):
            raise RuntimeError("far enough")

    monkeypatch.setattr(local, "LocalRun", Run)
    for runner, answered in (("docker", ()), ("subprocess", ("get-data",))):
        heard = []
        with pytest.raises(RuntimeError, match="far enough"):
            local.run_local(
                stored.settings(), stored.config_file, {}, heard.append, runner=runner, use_cache=True
            )
        *_, mode, _ = started[-1]
        assert mode.answered == answered == tuple(event.step for event in heard)

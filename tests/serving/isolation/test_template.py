"""The template: it stays fit to fork, whatever is imported in it and whatever becomes of its processes."""

import os
import signal
import subprocess
import sys
import threading
from types import SimpleNamespace

import msgspec
import pytest

from serving.isolation import messages
from serving.isolation import template as template_module
from tests.support import model_process
from tests.support.waiting import until

IMPORTS = """
import sys, threading
from serving.isolation import packages
packages.import_all(packages.COMMON)
for kind in ("sklearn", "xgboost", "langgraph", "pytorch", "lightning"):
    packages.import_all(packages.OF_KINDS[kind])
    missing = [name for name in packages.OF_KINDS[kind] if name not in sys.modules]
    print(kind, threading.active_count(), [name for name in packages.LATER if name in sys.modules], missing)
"""


@pytest.mark.slow
def test_imports_start_no_thread_and_bring_no_torch():
    """Only a process of one thread may be forked; torch is in it if a model is of its kind."""
    said = subprocess.run([sys.executable, "-c", IMPORTS], capture_output=True, text=True, check=True).stdout
    assert said.splitlines() == [
        "sklearn 1 [] []", "xgboost 1 [] []", "langgraph 1 [] []", "pytorch 1 ['torch'] []", "lightning 1 ['torch'] []",
    ]  # fmt: skip


def test_postponed_packages_stay_importable():
    """A model that needs a postponed package imports it."""
    code = "from serving.isolation import packages; packages.import_all(['dask']); import dask"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_thread_has_ended_when_the_system_has_it_no_more():
    """Python has done with a thread before the system has: until then it may hold locks, which a fork would keep."""
    leaving = SimpleNamespace(is_alive=lambda: False, native_id=threading.get_native_id())
    assert not template_module.has_ended(leaving)
    thread = threading.Thread(target=leaving.is_alive)
    thread.start()
    until(lambda: template_module.has_ended(thread), "the thread has ended")


def test_packages_of_a_kind_are_imported_before_the_fork(template, obedient, settings):
    """A second process of a kind finds its packages ready; a process that hangs is killed meanwhile."""
    with model_process.running(template, obedient, settings) as hung:
        hung.start(messages.Batch, [[{"do": "native()"}]])
        first = model_process.ModelProcess(template, obedient, settings, "langgraph", "no such kind")
        hung.kill()
        assert hung.wait_for_exit() == signal.SIGKILL
        assert isinstance(first.receive(), messages.Loaded)
        assert first.do("'langgraph.graph' in sys.modules", "'torch' in sys.modules").predictions == [
            True,
            False,
        ]
        first.close()


def test_many_processes_come_and_go(template):
    """Each end is reported once, also of processes that ended before they were asked for anything."""
    started = [template.fork() for _ in range(20)]
    for _, connection in started:
        connection.close()
    assert {template.wait_for_exit(pid) for pid, _ in started} == {0}


def test_a_request_without_its_socket_ends_no_template(template):
    """The kernel drops a socket for a process that has too many open files; the next request is answered."""
    template.socket.send(msgspec.msgpack.encode(messages.Fork(10**6, [])))
    until(lambda: template.read() or 10**6 in template._forked, "the request is answered")
    assert template._forked[10**6].pid == 0 and "open files" in template._forked[10**6].reason
    pid, connection = template.fork()
    connection.close()
    assert template.wait_for_exit(pid) == 0


def test_a_process_that_has_ended_is_not_killed(template, obedient, settings):
    """A number that is free again may be another process's by now."""
    with model_process.running(template, obedient, settings) as process:
        process.socket.close()
        process.wait_for_exit()
        template.kill(process.pid)
        template.kill(os.getpid())
    pid, connection = template.fork()
    connection.close()
    assert template.wait_for_exit(pid) == 0


def test_processes_hold_no_socket_of_each_other(template, obedient, settings):
    """The end of one process closes its socket, though others were forked before and after it."""
    with (
        model_process.running(template, obedient, settings) as one,
        model_process.running(template, obedient, settings),
    ):
        one.start(messages.Batch, [[{"do": "os._exit(0)"}]])
        assert one.receive() is None
        until(lambda: template.read() or one.pid in template.exited, "its end is reported")

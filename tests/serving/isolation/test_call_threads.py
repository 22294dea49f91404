"""Threads for the blocking code of a model, while a debugger or coverage traces it."""

import subprocess
import sys

from tests.support.waiting import LIMIT_S

TRACED = """
import sys, threading

for settrace in (sys.settrace, threading.settrace):
    settrace(lambda *_: None)
from serving.isolation.call_threads import CallThreads, Jobs, current

threads, jobs = CallThreads(), Jobs()
current.set(jobs)
print(threads.submit(abs, -1).result(LIMIT_S))
began = threading.Event()
def work():
    began.set()
    while True:
        pass
stopped = threads.submit(work)
began.wait()
jobs.interrupt()
print(type(stopped.exception(LIMIT_S)).__name__)
print(threads.submit(abs, -2).result(LIMIT_S))
"""


def test_traced_code_goes_on_after_a_job_and_after_an_interruption():
    """Where CPython 3.11 thinks that an exception is still to be raised in a thread, no traced call goes on."""
    code = TRACED.replace("LIMIT_S", str(LIMIT_S))
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=LIMIT_S, check=True
    )
    assert done.stdout.split() == ["1", "Interrupted", "2"]

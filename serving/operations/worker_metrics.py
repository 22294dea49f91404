"""Where several workers keep their figures: one folder for each service, named after the process that started them.

A process id comes back one day, and with it the figures of another service; so the name has its start time too.
"""

import multiprocessing
import os
import shutil
import tempfile
from pathlib import Path

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
PREFIX = "mlops-serving-metrics-"


def join() -> None:
    """As one of several workers, share a folder with the others; what services left that ended badly is taken out.

    Call it before prometheus_client is imported, which reads the variable once.
    """
    parent = multiprocessing.parent_process()
    if parent is None or VARIABLE in os.environ:
        return
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        pid, _, born = folder.name.removeprefix(PREFIX).partition("-")
        if pid.isdecimal() and _born(int(pid)) != born:
            shutil.rmtree(folder, ignore_errors=True)
    folder = Path(tempfile.gettempdir()) / f"{PREFIX}{parent.pid}-{_born(parent.pid or 0)}"
    folder.mkdir(mode=0o700, exist_ok=True)
    (folder / f"worker-{os.getpid()}").touch()
    os.environ[VARIABLE] = str(folder)


def leave() -> None:
    """Take the folder out when no other worker is in it; a folder that an operator chose is left."""
    folder = Path(os.environ[VARIABLE])
    own = folder / f"worker-{os.getpid()}"
    if not own.exists():
        return
    own.unlink()
    # Of two that leave at once, the later one sees nobody.
    if not any(_born(int(worker.name.partition("-")[2])) for worker in folder.glob("worker-*")):
        shutil.rmtree(folder, ignore_errors=True)


def _born(pid: int) -> str:
    """When a process started, in the kernel's ticks; "" when there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""

"""What uvicorn starts: ``uvicorn main:app --host 0.0.0.0 --port 8080``, in this folder."""

import gc
import multiprocessing
import os
import sys
import tempfile
from pathlib import Path

# Half a million objects of libraries that live for ever are imported next; collecting among them by Python's
# defaults costs seconds of the start and, later, hundreds of milliseconds of some caller's time.
gc.set_threshold(50_000, 50, 100)

# One of several workers: their figures are added up in a folder that they share. Read at first import.
if parent := multiprocessing.parent_process():
    try:  # a process id comes back one day, and with it the figures of another service
        born = Path(f"/proc/{parent.pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        born = "0"
    shared = Path(tempfile.gettempdir()) / f"mlops-serving-metrics-{parent.pid}-{born}"
    shared.mkdir(mode=0o700, exist_ok=True)
    os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", str(shared))

from mlops_lib.errors import MlopsError  # after the environment is set
from serving import logs
from serving.app import create_app

logs.configure()
try:
    app = create_app()
except MlopsError as error:
    sys.exit(f"The service cannot start: {error}")

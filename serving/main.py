"""What uvicorn starts: ``uvicorn main:app --host 0.0.0.0 --port 8080``, in this folder."""

import gc
import sys

# Half a million objects of libraries that live for ever are imported next; collecting among them by Python's
# defaults costs seconds of the start and, later, hundreds of milliseconds of some caller's time.
gc.set_threshold(50_000, 50, 100)

from serving.operations import worker_metrics
from serving.operations.workers import Workers

if workers := Workers.join():
    worker_metrics.share(workers)

from mlops_lib.errors import MlopsError  # after the environment is set
from serving.app import create_app
from serving.operations import logs

logs.configure()
try:
    app = create_app(workers=workers).edge  # FastAPI's own entrance would be one more step for every request
except MlopsError as error:
    sys.exit(f"The service cannot start: {error}")

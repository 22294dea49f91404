"""What uvicorn starts: ``uvicorn main:app --host 0.0.0.0 --port 8080``, in this folder."""

import os
import sys

# uvicorn puts this folder on the path, where `import features` or `import models` would find the service's
# own folders instead of a user's module. The package itself is found from the folder above.
FOLDER = os.path.dirname(os.path.abspath(__file__))
sys.path[:] = [entry for entry in sys.path if os.path.realpath(entry) != os.path.realpath(FOLDER)]
if os.path.dirname(FOLDER) not in sys.path:
    sys.path.append(os.path.dirname(FOLDER))

import gc

# The imports below make half a million objects that are never freed. With Python's default thresholds,
# collecting among them costs seconds of the start and, later, hundreds of milliseconds of a request.
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
    app = create_app(
        workers=workers
    ).entrance  # FastAPI's own entrance would be one more step for every request
except MlopsError as error:
    sys.exit(f"The service cannot start: {error}")

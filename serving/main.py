"""What uvicorn starts: ``uvicorn main:app --host 0.0.0.0 --port 8080``, in this folder."""

import sys

from mlops_lib.errors import MlopsError
from serving.app import create_app

try:
    app = create_app()
except MlopsError as error:
    sys.exit(f"The service cannot start: {error}")

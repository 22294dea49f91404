"""The training pipeline: four components, their wiring, and the runners."""

import os

# `import kfp` imports its client and, for that, kubernetes, in more than a second. Only `pipelines.kubeflow`
# needs the client, and imports it itself. Kubeflow's own steps set this variable for the same reason.
os.environ["_KFP_RUNTIME"] = "true"
import kfp  # noqa: F401

del os.environ["_KFP_RUNTIME"]

"""One fork server for all tests of a process: their steps and kernels start with the packages imported."""

import atexit
import os
from contextlib import ExitStack
from functools import cache

from mlops_lib.steps import fork_client, preload
from mlops_lib.steps.fork_client import FORK_SERVER_ENV

#: What the projects of the tests need: a store in SQLite, scikit-learn, and the default network.
MODULES = (
    *preload.STORE,
    "sklearn.linear_model",
    "mlops_lib.evaluation.tasks.classification",
    "mlops_lib.wrappers.lightning",
    "torch",
    "lightning.pytorch",
    "mlflow.pytorch",
    "torch.export._trace",
    "sklearn.impute",
    "tests.support.package_map",
)


@cache
def environment() -> dict[str, str]:
    """Variables with which a process, or this one, uses the server. It is started by the first call."""
    stack = ExitStack()
    stack.enter_context(fork_client.server(MODULES))
    address = os.environ.pop(FORK_SERVER_ENV)

    def stop() -> None:
        os.environ[FORK_SERVER_ENV] = address
        stack.close()

    atexit.register(stop)
    return {FORK_SERVER_ENV: address}

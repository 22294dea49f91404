"""A model that does to its process what a row says. `helper.VERSION` makes each version answer differently."""

import contextlib
import ctypes
import os
import signal
import sys
import time

import mlflow


def deaf() -> None:
    while True:
        with contextlib.suppress(BaseException):  # not even the signal of the service ends it
            time.sleep(60)


DEEDS = {
    "": lambda: None,
    "exit": lambda: os._exit(3),
    "segfault": lambda: ctypes.string_at(0),
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "sys.exit": lambda: sys.exit(4),
    "hang": lambda: time.sleep(3600),
    "deaf": deaf,
}


class Chaotic(mlflow.pyfunc.PythonModel):
    """1000 * version + 10 * visits + x; a `do` other than "" is done first."""

    def load_context(self, context):
        import helper

        DEEDS[helper.AT_LOAD]()

    def predict(self, context, model_input, params=None):
        import helper

        for deed in model_input["do"]:
            DEEDS[deed]()
        return (1000 * helper.VERSION + 10 * model_input["visits"] + model_input["x"]).to_numpy(float)


mlflow.models.set_model(Chaotic())

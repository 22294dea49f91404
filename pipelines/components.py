"""The steps as Kubeflow components. Each runs one notebook and has the signature of its contract.

No ``from __future__ import annotations`` here: it breaks KFP, which reads the annotations.
"""

import os
from typing import NamedTuple

from kfp import dsl

#: Image of every step: the one that Dockerfile.notebook builds. Read when the pipeline is compiled.
IMAGE = os.environ.get("MLOPS_IMAGE", "mlops-notebook-python:latest")


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def get_data(
    data: dsl.Output[dsl.Dataset],
    parent_run_id: str = "",
    loader: str = "",
    source: str = "",
    limit: int = 0,
) -> NamedTuple(
    "Outputs",
    [
        ("train_rows", int),
        ("validation_rows", int),
        ("test_rows", int),
        ("fingerprint", str),
        ("parent_run_id", str),
    ],
):
    from mlops_lib.notebooks import run

    return run(
        "01_get_data", data=data.path, parent_run_id=parent_run_id, loader=loader, source=source, limit=limit
    ).astuple()


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def train_model(
    data: dsl.Input[dsl.Dataset], parent_run_id: str = "", max_epochs: int = 0, seed: int = -1
) -> NamedTuple("Outputs", [("run_id", str), ("model_uri", str)]):
    from mlops_lib.notebooks import run

    return run(
        "02_train", data=data.path, parent_run_id=parent_run_id, max_epochs=max_epochs, seed=seed
    ).astuple()


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def evaluate_model(
    data: dsl.Input[dsl.Dataset],
    parent_run_id: str = "",
    run_id: str = "",
    threshold: float = -1.0,
) -> NamedTuple("Outputs", [("score", str), ("threshold", float), ("passed", bool), ("reason", str)]):
    from mlops_lib.notebooks import run

    return run(
        "03_evaluate", data=data.path, parent_run_id=parent_run_id, run_id=run_id, threshold=threshold
    ).astuple()


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def register_model(parent_run_id: str = "", run_id: str = "", model_name: str = "") -> NamedTuple(
    "Outputs", [("model_name", str), ("version", int), ("stage", str)]
):
    from mlops_lib.notebooks import run

    return run("04_register", parent_run_id=parent_run_id, run_id=run_id, model_name=model_name).astuple()

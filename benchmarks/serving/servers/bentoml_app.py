"""BentoML with adaptive batching."""

import os

import bentoml
import numpy as np
import torch

FEATURES = os.environ["FEATURES"].split(",")


@bentoml.service(workers=1)
class Service:
    """One row a request, batched by BentoML."""

    def __init__(self) -> None:
        self.module = torch.export.load(os.environ["MODEL"]).module()

    @bentoml.api(batchable=True, max_batch_size=32, max_latency_ms=1000, route="/predict")
    def predict(self, inputs: list[dict[str, float]]) -> list[float]:
        x = np.array([[row[name] for name in FEATURES] for row in inputs], dtype=np.float32)
        with torch.inference_mode():
            return self.module(torch.from_numpy(x)).tolist()

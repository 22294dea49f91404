"""MLServer with adaptive batching: a custom runtime, asked in its own protocol."""

import os

import torch
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class Runtime(MLModel):
    """One row a request, batched by MLServer."""

    async def load(self) -> bool:
        self.module = torch.export.load(os.environ["MODEL"]).module()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        x = NumpyCodec.decode_input(payload.inputs[0]).astype("float32")
        with torch.inference_mode():
            output = self.module(torch.from_numpy(x)).numpy().reshape(-1, 1)
        return InferenceResponse(
            model_name=self.name, outputs=[NumpyCodec.encode_output("predictions", output)]
        )

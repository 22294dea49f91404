"""LitServe with dynamic batching of uploaded images."""

import os

import litserve
import numpy as np
import torch
from PIL import Image

CHANNELS, HEIGHT, WIDTH = map(int, os.environ["SHAPE"].split(","))


class Api(litserve.LitAPI):
    """One image a request, batched by LitServe."""

    def setup(self, device):
        self.module = torch.export.load(os.environ["MODEL"]).module()

    def decode_request(self, request):
        opened = Image.open(request["image"].file).convert("L" if CHANNELS == 1 else "RGB")
        pixels = np.asarray(opened.resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR), dtype=np.float32) / 255
        return torch.from_numpy(pixels.reshape(HEIGHT, WIDTH, CHANNELS)).permute(2, 0, 1)

    def batch(self, inputs):
        return torch.stack(inputs)

    def predict(self, x):
        with torch.inference_mode():
            return self.module(x).tolist()

    def unbatch(self, output):
        return output

    def encode_response(self, output):
        return {"predictions": output}


if __name__ == "__main__":
    api = Api(max_batch_size=32, batch_timeout=0.001)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1)
    server.run(
        host="127.0.0.1",
        port=int(os.environ["PORT"]),
        num_api_servers=1,
        log_level="warning",
        generate_client_file=False,
    )

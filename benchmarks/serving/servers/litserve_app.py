"""LitServe with dynamic batching."""

import os

import litserve
import torch

FEATURES = os.environ["FEATURES"].split(",")


class Api(litserve.LitAPI):
    """One row a request, batched by LitServe."""

    def setup(self, device):
        self.module = torch.export.load(os.environ["MODEL"]).module()

    def decode_request(self, request):
        return [request["inputs"][0][name] for name in FEATURES]

    def batch(self, inputs):
        return torch.tensor(inputs, dtype=torch.float32)

    def predict(self, x):
        with torch.inference_mode():
            return self.module(x).tolist()

    def unbatch(self, output):
        return output

    def encode_response(self, output):
        return {"predictions": [output]}


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

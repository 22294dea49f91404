"""What a team writes by hand: FastAPI, a pydantic model, `torch.inference_mode`."""

import os

import torch
from fastapi import FastAPI
from pydantic import create_model

FEATURES = os.environ["FEATURES"].split(",")
Row = create_model("Row", **{name: (float, ...) for name in FEATURES})
Body = create_model("Body", inputs=(list[Row], ...))
module = torch.export.load(os.environ["MODEL"]).module()
app = FastAPI()


@app.post("/predict")
async def predict(body: Body):
    """Rows in, predictions out."""
    x = torch.tensor([[getattr(row, name) for name in FEATURES] for row in body.inputs])
    with torch.inference_mode():
        return {"predictions": module(x).tolist()}

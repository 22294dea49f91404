"""What a team writes by hand for images: FastAPI's UploadFile, Pillow, `torch.inference_mode`."""

import os
from io import BytesIO

import numpy as np
import torch
from fastapi import FastAPI, UploadFile
from PIL import Image

CHANNELS, HEIGHT, WIDTH = map(int, os.environ["SHAPE"].split(","))
module = torch.export.load(os.environ["MODEL"]).module()
app = FastAPI()


@app.post("/predict")
async def predict(image: UploadFile):
    """An image in, a prediction out."""
    opened = Image.open(BytesIO(await image.read())).convert("L" if CHANNELS == 1 else "RGB")
    pixels = np.asarray(opened.resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR), dtype=np.float32) / 255
    x = torch.from_numpy(pixels.reshape(1, HEIGHT, WIDTH, CHANNELS)).permute(0, 3, 1, 2)
    with torch.inference_mode():
        return {"predictions": module(x)[0].tolist()}

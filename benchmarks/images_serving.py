"""Compare uploads a second with a route by hand and with LitServe: the same network, the same form with one image.

    python benchmarks/images_serving.py /tmp/images-served --peers /tmp/peers --rounds 3

FOLDER gets a project for each of `KINDS`: grey PNG files of 28 x 28 pixels, JPEG files of 64 x 64 pixels, and photographs of 500 x 375
and 2,000 x 1,500 pixels, which the network takes as 224 x 224. Servers and load are those of `benchmarks/serving/run.py`: each server is one worker on core 0.
"""

import argparse
import sys
import tempfile
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
import yaml
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent / "serving"))

from run import Server, compare, mlops, pt2_of, report, uvicorn  # of benchmarks/serving

CONCURRENCIES = (1, 32)
NETWORK = """
import lightning
import torch
from torch import nn


class Net(lightning.LightningModule):
    def __init__(self, inputs):
        super().__init__()
        channels = inputs["image"].shape[0]
        self.layers = nn.Sequential(
            nn.Conv2d(channels, 8, 7, stride=4), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(128, 1)
        )

    def forward(self, image):
        return self.layers(image).squeeze(-1).sigmoid()

    def training_step(self, batch, _):
        return nn.functional.binary_cross_entropy(self(batch[0]), batch[1])

    def validation_step(self, batch, _):
        self.log("val_loss", self.training_step(batch, _))

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=0.001)
"""


class Kind(NamedTuple):
    """Images of a project: sides and mode, the format of their files, and the shape of the network's input."""

    width: int
    height: int
    mode: str
    format: str
    shape: tuple[int, int, int]


KINDS = {
    "small": Kind(28, 28, "L", "PNG", (1, 28, 28)),
    "icon": Kind(64, 64, "RGB", "JPEG", (3, 64, 64)),
    "photo": Kind(500, 375, "RGB", "JPEG", (3, 224, 224)),
    "large": Kind(2000, 1500, "RGB", "JPEG", (3, 224, 224)),
}


def main() -> None:
    """Measure both kinds of images."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--peers", type=Path, default=Path("/tmp/peers"))
    parser.add_argument("--kinds", default=",".join(KINDS), help="names, with commas between them")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=3)
    options = parser.parse_args()
    for name in options.kinds.split(","):
        serving(name, options.folder.resolve() / name, options.peers, options.rounds, options.seconds)


def serving(name: str, folder: Path, peers: Path, rounds: int, seconds: int) -> None:
    """Measure one of `KINDS`, and print the table."""
    kind = KINDS[name]
    if not (folder / "config.yaml").exists():
        make_project(kind, folder)
    file = files(kind, 1)[0]
    form, content_type = upload(file)
    environment = {
        "MODEL": pt2_of(folder, "images"),
        "SHAPE": ",".join(map(str, kind.shape)),
        "MLOPS_CONFIG": str(folder / "config.yaml"),
    }
    chosen = [Server("plain", uvicorn("upload:app")), mlops("mlops")]
    if (python := peers / "litserve/bin/python").exists():
        chosen.append(Server("litserve", lambda port: [str(python), "litserve_upload.py"]))
    for server in chosen:
        server.body, server.content_type = form, content_type
    print(
        f"{name}: {kind.width} x {kind.height} {kind.format}, {len(file):,} bytes, input {list(kind.shape)}"
    )
    with tempfile.TemporaryDirectory() as temporary:
        seen = compare(chosen, folder, environment, Path(temporary), rounds, seconds, CONCURRENCIES)
    report(seen, "mlops")


def upload(file: bytes) -> tuple[bytes, str]:
    """Return a form with the file as browsers send it, and its content type."""
    head = b'--boundary\r\nContent-Disposition: form-data; name="image"; filename="image.png"\r\nContent-Type: image/png\r\n\r\n'
    return head + file + b"\r\n--boundary--\r\n", "multipart/form-data; boundary=boundary"


def files(kind: Kind, count: int) -> list[bytes]:
    """Return files of smooth shapes with noise, about as large as photographs are."""
    draw, found = np.random.default_rng(0), []
    for _ in range(count):
        shapes = Image.fromarray(draw.integers(0, 256, (12, 16, 3), dtype=np.uint8)).resize(
            (kind.width, kind.height)
        )
        noise = draw.normal(0, 12, (kind.height, kind.width, 3))
        image = Image.fromarray((np.asarray(shapes) + noise).clip(0, 255).astype(np.uint8)).convert(kind.mode)
        held = BytesIO()
        image.save(held, kind.format)
        found.append(held.getvalue())
    return found


def make_project(kind: Kind, folder: Path) -> None:
    """Train a network for one epoch, and promote it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from mlops_lib import config, loaders, wrappers
    from mlops_lib.registry import Decision, Registry

    folder.mkdir(parents=True)
    (folder / "net.py").write_text(NETWORK)
    table = pa.table({"image": files(kind, 60), "label": [0, 1] * 30, "id": list(range(60))})
    pq.write_table(table, folder / "images.parquet")
    content = {
        "mlflow": {"tracking_uri": f"sqlite:///{folder}/mlflow.db", "experiment": "images"},
        "data": {"source": "images.parquet", "label": "label", "key": "id"},
        "model": {
            "name": "images", "implementation": "net:Net",
            "inputs": {"image": {"column": "image", "shape": list(kind.shape)}},
        },
        "train": {"max_epochs": 1, "batch_size": 16},
        "evaluation": {"threshold": 0.0, "baselines": []},
        "serving": {"cache": "cache", "poll_s": 120.0},
    }  # fmt: skip
    (folder / "config.yaml").write_text(yaml.safe_dump(content))
    settings = config.load(folder / "config.yaml")
    loaders.from_settings(settings).write(loaders.prepared_folder(settings))
    run_id = wrappers.from_settings(settings).train(loaders.prepared(settings), settings).run_id
    registry = Registry(settings)
    version = registry.register("images", run_id, {}).version
    registry.promote("images", version, "Production", Decision("forced", reason="a benchmark"))


if __name__ == "__main__":
    main()

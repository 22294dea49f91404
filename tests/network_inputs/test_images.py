"""Images as tensors: the same from training's batches, from rows of JSON and from the logged files; shapes and settings."""

import base64
import json
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from torch import nn

from mlops_lib.columns.encode import BadValue, Encoder
from mlops_lib.columns.infer import Declared, infer
from mlops_lib.columns.schema import Column, Schema
from mlops_lib.errors import InputError, TrainingError
from mlops_lib.loaders.files import LocalDataLoader
from mlops_lib.network_inputs.call import answers
from mlops_lib.network_inputs.encode import InputEncoder
from mlops_lib.network_inputs.resolve import plan
from mlops_lib.settings.model import InputSettings, ModelSettings
from mlops_lib.wrappers.inputs import prepared
from mlops_lib.wrappers.network.call import call_in_double
from tests.support.pictures import encoded, noise, random_files
from tests.toys.architectures import Block

ONE = Schema((Column("photo", "image", stored="binary", shape=(3, 10, 12)), Column("y", "integer", "label")))
TWO = Schema((*ONE.columns[:1], Column("age", "integer"), *ONE.columns[1:]))
DRAW = np.random.default_rng(0)


def encoder_of(schema: Schema = ONE, forward=lambda self, x: 0, **given: object) -> InputEncoder:
    """The encoder of a network, with the settings of its input ``x``."""
    inputs = {"x": InputSettings(column="photo", **given)} if given else {}
    made = plan(type("Net", (), {"forward": forward}), ModelSettings(inputs=inputs), schema)
    assert made
    return made.encoder(Encoder(made.encoded_schema, {}), None, Path())


def tensor(encoder: InputEncoder, *files: bytes) -> np.ndarray:
    """The tensor of some files."""
    return encoder.padded(prepared(encoder, [{"photo": file} for file in files]))["x"]


@pytest.fixture(scope="module")
def thousand(tmp_path_factory) -> tuple[list[bytes], Path]:
    """Random files, and a dataset of them."""
    files, folder = random_files(1_000), tmp_path_factory.mktemp("thousand")
    for split in ("train", "validation", "test"):
        rows = files if split == "train" else files[:2]
        pq.write_table(pa.table({"photo": rows, "y": [0, 1] * (len(rows) // 2)}), folder / f"{split}.parquet")
    return files, folder


@pytest.mark.slow
@pytest.mark.parametrize("resize", ["squash", "crop", "pad"])
def test_the_service_decodes_what_training_did(thousand, resize):
    """Bit for bit, of 1,000 files of all sizes, modes, formats and orientations."""
    files, folder = thousand
    encoder = encoder_of(shape=[3, 20, 24], resize=resize, mean=[0.5, 0.4, 0.3], std=[0.2, 0.3, 0.4])
    loader = LocalDataLoader(folder, label="y")
    batches = [x.numpy() for x, _ in loader.torch("train", 64, encoder=encoder)]
    served = InputEncoder.from_dict(json.loads(json.dumps(encoder.to_dict())))
    rows = [{"photo": base64.b64encode(file).decode()} for file in files]
    found = [served.padded(prepared(served, rows[at : at + 3]))["x"] for at in range(0, 1_000, 3)]
    assert np.array_equal(np.concatenate(batches), np.concatenate(found))
    assert batches[0].dtype == np.float32 and batches[0].shape == (64, 3, 20, 24)
    assert np.unique(found[0]).size > 100


def test_values_are_scaled():
    """From 0 to 1, less the mean, divided by the deviation; or as they are."""
    file = encoded(Image.new("RGB", (12, 10), (0, 51, 255)))
    np.testing.assert_allclose(tensor(encoder_of(), file)[0, :, 0, 0], [0, 0.2, 1], rtol=1e-6)
    scaled = encoder_of(mean=[0.5, 0.5, 0.5], std=[0.5, 0.1, 1])
    np.testing.assert_allclose(tensor(scaled, file)[0, :, 0, 0], [-1, -3, 0.5], rtol=1e-6)
    whole = tensor(encoder_of(dtype="uint8"), file)
    assert whole.dtype == np.uint8 and whole[0, :, 0, 0].tolist() == [0, 51, 255]
    grey = tensor(encoder_of(shape=[1, 5, 6], dtype="uint8"), file)
    assert grey.shape == (1, 1, 5, 6) and np.unique(grey).tolist() == [59]


def test_images_are_squashed_cropped_or_padded():
    """A wide image, red in its left half, in a square."""
    image = Image.new("RGB", (40, 20), "blue")
    image.paste("red", (0, 0, 20, 20))
    file = encoded(image)
    red = {
        resize: tensor(encoder_of(shape=[3, 8, 8], dtype="uint8", resize=resize), file)[0, 0]
        for resize in ("", "squash", "crop", "pad")
    }
    assert np.array_equal(red[""], red["squash"])
    assert (red["squash"] > 127).sum(1).tolist() == (red["crop"] > 127).sum(1).tolist() == [4] * 8
    assert (red["pad"] > 127).sum(1).tolist() == [0, 0, 4, 4, 4, 4, 0, 0]


@pytest.mark.parametrize("resize", ["squash", "crop", "pad"])
def test_the_thinnest_images_are_seen(resize):
    """Of one pixel, of one row, of one column: padding leaves a line of them, and never black alone."""
    encoder = encoder_of(shape=[1, 8, 8], dtype="uint8", resize=resize)
    found = [
        tensor(encoder, encoded(Image.new("L", size, 200)))[0, 0] for size in [(1, 1), (900, 1), (1, 900)]
    ]
    lines = 8 if resize == "pad" else 64
    assert [(one == 200).sum() for one in found] == [64, lines, lines]


def test_large_jpegs_are_decoded_small_and_look_the_same():
    """Within one of 255 levels, on average, of the whole image resized.

    A model that was logged before has its own pixels still.
    """
    smooth = noise(DRAW, 15, 10).resize((1_600, 1_200), Image.Resampling.BICUBIC)
    file = encoded(smooth, "JPEG", quality=95)
    encoder = encoder_of(shape=[3, 120, 160], dtype="uint8")
    logged = encoder.to_dict()
    del logged["inputs"]["specs"][0]["draft"]
    whole = np.asarray(smooth.resize((160, 120), Image.Resampling.BILINEAR)).transpose(2, 0, 1)
    quick, before = tensor(encoder, file)[0], tensor(InputEncoder.from_dict(logged), file)[0]
    assert np.abs(quick.astype(int) - whole).mean() < 1 and np.abs(before.astype(int) - whole).mean() < 1
    image = Image.open(BytesIO(file))
    image.draft(None, (320, 320))
    assert np.array_equal(
        before, np.asarray(image.resize((160, 120), Image.Resampling.BILINEAR)).transpose(2, 0, 1)
    )
    assert image.size == (800, 600) and not np.array_equal(quick, before)


def test_a_network_of_one_parameter_takes_the_only_image():
    """By position, whatever its name; beside other columns by name."""
    encoder = encoder_of(forward=lambda self, x: 0)
    assert [str(spec) for spec in encoder.inputs.specs] == ["x: float32 [rows, 3, 10, 12]"]
    assert encoder.inputs.style == "positions" and encoder.inputs.is_one
    both = encoder_of(TWO, forward=lambda self, photo, age: 0)
    assert both.inputs.names == ["photo", "age"]
    named = plan(type("Net", (), {"forward": lambda self, photo: 0}), ModelSettings(), TWO)
    assert named and list(named.wanted) == ["photo"]


@pytest.mark.parametrize(
    ("schema", "given", "wanted"),
    [
        (TWO, {}, "takes one matrix, and column 'photo' is an image"),
        (ONE, {"shape": [10, 12]}, r"\[10, 12\], and that of images is \[3, height, width\]"),
        (ONE, {"shape": [4, 10, 12]}, "that of images is"),
        (ONE, {"mean": [0.5]}, "1 numbers in mean, and its images 3 channels"),
        (ONE, {"std": [0.5, 0, 1]}, "above 0"),
        (ONE, {"dtype": "uint8", "mean": [0.5] * 3}, "dtype uint8 and mean"),
        (ONE, {"dtype": "int64"}, "has dtype int64, and its form is image"),
        (ONE, {"length": 3}, "has length, and its form is image"),
        (ONE, {"form": "matrix"}, "has the form matrix, and column 'photo' is an image"),
    ],
)
def test_settings_that_do_not_fit_are_refused(schema, given, wanted):
    """Before the training, with the setting."""
    with pytest.raises(TrainingError, match=wanted):
        encoder_of(schema, **given)


def test_options_of_images_need_an_image():
    """As do the form and the type."""
    for given, wanted in (
        ({"resize": "crop"}, "has resize, and its form is number"),
        ({"dtype": "uint8"}, "has dtype uint8, and its form is number"),
        (
            {"form": "image"},
            "has the form image, and column 'age' is an integer. If it holds images as base64",
        ),
    ):
        model = ModelSettings(inputs={"x": InputSettings(column="age", **given)})
        with pytest.raises(TrainingError, match=wanted):
            plan(type("Net", (), {"forward": lambda self, x: 0}), model, TWO)
    with pytest.raises(TrainingError, match="'photo', an image, which needs an input of its own"):
        plan(
            type("Net", (), {"forward": lambda self, x: 0}),
            ModelSettings(inputs={"x": ["photo", "age"]}),
            TWO,
        )


def test_images_of_several_sizes_need_a_shape():
    """The error names two files, and shows the setting."""
    reason = "files of images; 2 PNG, of 2 sizes from 1 x 2, as a.png to 3 x 4, as b.png"
    schema = Schema((Column("photo", "image", reason=reason, shape=(3, -1, -1)), *ONE.columns[1:]))
    with pytest.raises(
        TrainingError, match=r"1 x 2, as a.png to 3 x 4, as b.png(.|\n)*x: {column: photo, shape: \["
    ):
        encoder_of(schema)
    with pytest.raises(TrainingError, match="lacks an image in some rows"):
        encoder_of(Schema((Column("photo", "image", shape=(3, 1, 1), nullable=True), *ONE.columns[1:])))


def test_a_broken_image_is_named_by_its_row():
    """In a batch of many, and in JSON; a missing image too."""
    encoder, good = encoder_of(), encoded(noise(DRAW))
    with pytest.raises(BadValue, match=r"Row 1: 'photo' is 60 bytes \(broken.*must be an image"):
        tensor(encoder, good, good[:60])
    for row in ({"photo": None}, {"photo": "x"}, {"photo": 5}, {"photo": []}):
        with pytest.raises(InputError, match="Row 1: 'photo' is .*must be an image"):
            prepared(encoder, [{"photo": good}, row])


def test_the_tensor_of_an_image_is_taken_as_it_is():
    """Beside files in one batch; an array of another shape is refused."""
    encoder, good = encoder_of(mean=[0.5] * 3), encoded(noise(DRAW))
    made = tensor(encoder, good)
    assert np.array_equal(tensor(encoder, good, made[0]), np.concatenate([made, made]))
    with pytest.raises(InputError, match="Row 0: 'photo' is array"):
        tensor(encoder, np.zeros((2, 2)))


@pytest.mark.parametrize("resize", ["squash", "crop", "pad"])
def test_large_files_become_small_ones_with_the_same_tensor(resize):
    """For the example of a logged model."""
    encoder, file = encoder_of(shape=[3, 30, 20], resize=resize), encoded(noise(DRAW, 300, 200))
    frame = pa.table({"photo": [file, encoded(noise(DRAW))]}).to_pandas()
    small = encoder.with_small_images(frame)
    assert len(small["photo"][0]) < 5_000 < len(file) and small["photo"][1] == frame["photo"][1]
    assert np.array_equal(tensor(encoder, *small["photo"]), tensor(encoder, *frame["photo"]))


def test_images_of_a_source_are_inferred():
    """A table with a column of files needs no setting but the label."""
    rows = pa.table({"photo": [encoded(noise(DRAW))] * 3, "y": [0, 1, 0]})
    assert infer(rows, Declared("y")).kinds == {"photo": "image"}


class Residual(nn.Sequential):
    """Layers with an input of this name."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x)


@pytest.mark.parametrize("side", [64, 224])
def test_an_image_is_answered_alone_as_in_a_batch(side):
    """Bit for bit in float64; within 1e-6 where images are too large for float64."""
    torch.manual_seed(0)
    network = Residual(
        nn.Conv2d(3, 8, 7, 2, 3), Block(8), nn.MaxPool2d(2), Block(8), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(8, 5), nn.Softmax(-1),
    ).eval()  # fmt: skip
    encoder = encoder_of(shape=[3, side, side])
    rows = prepared(encoder, [{"photo": encoded(noise(DRAW, 30, 20))} for _ in range(17)])
    call = call_in_double(network, encoder, [one[:2] for one in rows])
    assert call.in_double == (side == 64)
    together = answers(call, encoder, rows)
    alone = np.concatenate([answers(call, encoder, [one[at : at + 1] for one in rows]) for at in range(17)])
    assert np.abs(together - alone).max() <= (0 if side == 64 else 1e-6)
    assert together.std(0).min() > 0

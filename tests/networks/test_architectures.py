"""Networks of many architectures: trained, logged, loaded in a fresh process and served, with the same answers."""

import asyncio
import json
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnxruntime
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.trainers import WordLevelTrainer

from mlops_lib import config, loaders, wrappers
from mlops_lib.columns.json_rows import example_rows
from mlops_lib.errors import ModelError
from mlops_lib.network_inputs.encode import InputEncoder
from mlops_lib.network_inputs.spec import InputSpec
from mlops_lib.wrappers.inputs import prepared
from mlops_lib.wrappers.network import onnx as onnx_export
from serving.inference.predictor import Answered
from serving.protocols import open_inference
from serving.protocols.inference import Decoded
from serving.protocols.tensors import Tensor, rows_of
from tests.support.pictures import encoded, noise
from tests.support.projects import ROOT
from tests.support.staged_service import staged

pytestmark = pytest.mark.slow

#: Network -> its ``model`` section.
NETWORKS: dict[str, dict[str, Any]] = {
    "Mlp": {"inputs": {"x": ["user", "film", "price", "age", "joined", "vector", "review"]}},
    "Embeddings": {},
    "WideAndDeep": {"inputs": {"numbers": ["age", "price", "joined"]}},
    "ConvNet": {},
    "ResNet": {"inputs": {"image": {"column": "pixels", "shape": [1, 6, 6]}}},
    "Photos": {},
    "PhotoConvNet": {
        "inputs": {
            "x": {"column": "photo", "shape": [1, 7, 9], "resize": "crop", "mean": [0.5], "std": [0.2]}
        }
    },
    "Lstm": {},
    "Gru": {"inputs": {"clicks": {"column": "clicks", "length": 6}}},
    "LastStep": {},
    "SmallTransformer": {},
    "TwoTower": {},
    "Autoencoder": {},
    "Quantiles": {"inputs": {"numbers": ["age", "price"]}},
    "PaddedMean": {},
    "TextOfFile": {"inputs": {"review": {"tokenizer": "tokenizer.json"}}},
    "MultiTask": {},
    "Pair": {},
    "Tagger": {},
}
#: The same, of models that hold code.
WITH_CODE: dict[str, dict[str, Any]] = {
    "PackedGru": {"format": "script"},
    "TextClassifier": {"inputs": {"review": {"tokenizer": "architectures:words"}}},
    "Collated": {"collate": "architectures:visits"},
    "Branching": {"format": "pickle", "inputs": {"x": ["user", "price", "age"]}},
    "Detector": {"format": "pickle"},
}
#: Network with several outputs -> the one that is judged.
JUDGED = {"MultiTask": "liked", "Pair": "output_0", "Tagger": "all", "Detector": "any"}
BY_LENGTH = ("PaddedMean", "LastStep", "Tagger")


def films(rows: int) -> pa.Table:
    """Rows with columns of every kind, gaps, empty lists and lists of many lengths."""
    draw = np.random.default_rng(0)
    words = ["good", "bad", "film", "좋은", "영화", "dull"]
    return pa.table(
        {
            "user": [f"u{row % 7}" for row in range(rows)],
            "film": [None if row % 19 == 0 else f"f{row % 5}" for row in range(rows)],
            "price": [None if row % 13 == 0 else float(draw.normal()) for row in range(rows)],
            "age": draw.integers(18, 80, rows),
            "joined": [datetime(2024, 1, 1) + timedelta(days=int(day)) for day in draw.integers(0, 500, rows)],
            "vector": pa.array(list(draw.normal(size=(rows, 4))), pa.list_(pa.float64())),
            "pixels": pa.array(draw.normal(size=(rows, 6, 6)).tolist(), pa.list_(pa.list_(pa.float64()))),
            "photo": [encoded(noise(draw), ("PNG", "JPEG", "WEBP")[row % 3]) for row in range(rows)],
            "clicks": pa.array(
                [None if row % 17 == 0 else draw.integers(0, 9, draw.integers(0, 12)).tolist() for row in range(rows)],
                pa.list_(pa.int64()),
            ),
            "review": [" ".join(draw.choice(words, size=draw.integers(1, 9))) for _ in range(rows)],
            "liked": draw.integers(0, 2, rows),
        }
    )  # fmt: skip


def plain(predictions: Any) -> list[Any]:
    """Predictions as values that JSON has."""
    return predictions.tolist() if isinstance(predictions, np.ndarray) else predictions


class Trained(NamedTuple):
    """A logged network, its folder, rows for it as JSON, and its predictions for them."""

    uri: str
    folder: Path
    rows: list[dict[str, Any]]
    expected: list[Any]


def train_tokenizer(texts: list[str], file: Path) -> None:
    """A tokenizer of words, trained on some texts and saved."""
    made = Tokenizer(WordLevel(unk_token="[UNK]"))
    made.pre_tokenizer = Whitespace()
    made.train_from_iterator(texts, WordLevelTrainer(special_tokens=["[PAD]", "[UNK]"]))
    made.save(str(file))


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> dict[str, Trained]:
    """Every network, trained for an epoch on the same dataset."""
    root = tmp_path_factory.mktemp("architectures")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "tests/toys"))
        pq.write_table(films(90), root / "films.parquet")
        train_tokenizer(films(90)["review"].to_pylist(), root / "tokenizer.json")
        found = {}
        for name, model in (NETWORKS | WITH_CODE).items():
            content = {
                "mlflow": {"tracking_uri": "sqlite:///mlflow.db", "experiment": "films"},
                "data": {
                    "source": "films.parquet",
                    "label": "liked",
                    "columns": {"clicks": "drop", "photo": "drop"}
                    if name == "Pair"
                    else {"clicks": "sequence"},
                },
                "pipeline": {"work_dir": "matrix" if name == "Pair" else "all"},
                "model": {"wrapper": "lightning", "implementation": f"architectures:{name}", **model},
                "train": {"max_epochs": 1, "batch_size": 16},
                "evaluation": {"threshold": 0.0, "baselines": [], "output": JUDGED.get(name, "")},
            }
            (root / "config.yaml").write_text(yaml.safe_dump(content))
            settings = config.load(root / "config.yaml")
            folder = loaders.prepared_folder(settings)
            if not folder.exists():
                loaders.from_settings(settings).write(folder)
            dataset = loaders.prepared(settings)
            wrapper = wrappers.from_settings(settings)
            result = wrapper.train(dataset, settings)
            test = dataset.load("test")
            rows = json.loads(json.dumps(example_rows(test, wrapper.columns)))
            found[name] = Trained(result.model_uri, wrapper.folder, rows, plain(wrapper.predict(test)))
    return found


@pytest.mark.parametrize("name", NETWORKS | WITH_CODE)
def test_rows_have_the_same_answer_in_every_form(trained, name):
    """As JSON, alone, in other batches and in the reverse order: bit for bit; no code where a graph is enough."""
    one = trained[name]
    model = wrappers.load(str(one.folder))
    assert len(one.expected) == len(one.rows) > 10 and len(set(map(str, one.expected))) > 5
    for size in (1, 4, len(one.rows)):
        parts = [model.predict(one.rows[at : at + size]) for at in range(0, len(one.rows), size)]
        assert [found for part in parts for found in plain(part)] == one.expected, size
    assert plain(model.predict(one.rows[::-1])) == one.expected[::-1]
    assert type(model).holds_code(model.folder, model.info) is (name in WITH_CODE)
    assert model.inputs.inputs.by_length is (name in BY_LENGTH)


def test_a_fresh_process_gives_the_same_answers(trained):
    """With the library and with MLflow alone, where the network's module cannot be imported but from the model."""
    code = """
import json, sys
import mlflow
import pandas as pd
models = json.load(sys.stdin)
found = {}
for alone in (False, True):
    if alone:
        for name in [name for name in sys.modules if name.partition(".")[0] == "mlops_lib"]:
            sys.modules[name] = None
    for name, (folder, rows) in models.items():
        if alone:
            answer = mlflow.pyfunc.load_model(folder).predict(pd.DataFrame(rows))
        else:
            from mlops_lib import wrappers
            sys.modules.setdefault("lightning", None)  # the module of the networks needs it
            if name in ("TextClassifier", "Collated", "Branching", "Detector") and not sys.modules["lightning"]:
                del sys.modules["lightning"]
            answer = wrappers.load(folder).predict(rows)
        found.setdefault(name, []).append(answer if isinstance(answer, list) else answer.tolist())
print(json.dumps(found))
"""
    given = json.dumps({name: [str(one.folder), one.rows] for name, one in trained.items()})
    ended = subprocess.run(
        [sys.executable, "-c", code], input=given, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout.splitlines()[-1])
    for name, one in trained.items():
        for answer in found[name]:
            assert answer == one.expected, name


def tensors_of(inputs: dict[str, InputSpec], rows: list[dict[str, Any]]) -> list[Tensor]:
    """A tensor for each input of one column: arrays in the input's shape, sequences padded with a tensor of lengths."""
    made = []
    for name, spec in inputs.items():
        values = [row[spec.columns[0]] for row in rows]
        if len(spec.columns) > 1:
            return []
        if spec.form == "sequence":
            longest = max(len(one or ()) for one in values)
            padded = [one + [0.0] * (longest - len(one)) for one in (one or [] for one in values)]
            made.append(Tensor(name, [len(rows), longest], "FP64", padded))
            lengths = [len(one or ()) for one in values]
            made.append(Tensor(f"{name}_lengths", [len(rows)], "INT64", lengths))
        elif spec.form == "image":
            made.append(Tensor(name, [len(rows)], "BYTES", values))
        elif spec.form == "array":
            made.append(Tensor(name, [len(rows), *spec.shape], "FP64", np.ravel(values).tolist()))
        elif spec.form in ("number", "codes", "tokens", "matrix", "parts"):
            kind = {str: "BYTES", int: "INT64"}.get(type(values[1]), "FP64")
            made.append(Tensor(name, [len(rows)], kind, values))
    return made


def require_tensors_by_name(model: Any, expected: list[dict[str, Any]]) -> None:
    """The Open Inference Protocol's tensor for each output, JSON and binary: numbers, or texts of JSON for unlike sizes."""
    for binary in (False, True):
        wanted = open_inference.Wanted("1", binary, ("boxes", "any"))
        reply = open_inference.encode(None, Decoded(None, own=wanted), Answered(model, expected, None, None))
        length = int(dict(reply.headers)[open_inference.HEADER_LENGTH]) if binary else len(reply.body)
        boxes, scores = json.loads(reply.body[:length])["outputs"]
        assert (boxes["datatype"], boxes["shape"]) == ("BYTES", [len(expected)])
        assert (scores["datatype"], scores["shape"]) == ("FP64", [len(expected)])
        if binary:
            assert np.frombuffer(reply.body[-8 * len(expected) :]).tolist() == [
                one["any"] for one in expected
            ]
            assert boxes["parameters"]["binary_data_size"] == len(reply.body) - length - 8 * len(expected)
        else:
            assert scores["data"] == [one["any"] for one in expected]
            assert [json.loads(one) for one in boxes["data"]] == [one["boxes"] for one in expected]


def test_the_service_gives_the_same_answers(trained, tmp_path):
    """Rows as JSON, alone and together, and tensors by the names of inputs."""

    async def ask() -> None:
        async with staged(tmp_path) as stage:
            for number, (name, one) in enumerate(trained.items(), start=1):
                await stage.serve(number, one.folder)
                assert not stage.models.refused, name
                assert [await stage.ask(row) for row in one.rows[:3]] == one.expected[:3], name
                assert await stage.ask_all({"inputs": one.rows}) == one.expected, name
                model = stage.models.current()
                if tensors := tensors_of(model.facts.inputs, one.rows):
                    rows = rows_of(tensors, memoryview(b""), model.schema, 100)
                    assert await stage.ask_all({"inputs": rows}) == one.expected, name
                assert list(model.facts.outputs) == (list(one.expected[0]) if name in JUDGED else [])
                if name == "Detector":
                    require_tensors_by_name(model, one.expected)

    asyncio.run(ask())


@pytest.mark.parametrize("name", ["Lstm", "MultiTask"])
def test_a_network_becomes_onnx(trained, name, tmp_path):
    """Of any number of rows and any length, with outputs by name and the encoder in the file's metadata."""
    one, file = trained[name], tmp_path / "network.onnx"
    model = wrappers.load(str(one.folder))
    done = onnx_export.export(model, file)
    assert 0 <= done.difference < 1e-5 and done.rows > 20
    session = onnxruntime.InferenceSession(str(file))
    encoder = InputEncoder.from_dict(
        json.loads(session.get_modelmeta().custom_metadata_map[onnx_export.ENCODER_KEY])
    )
    tensors = encoder.padded(prepared(encoder, one.rows))
    found = session.run(None, tensors)
    names = [output.name for output in session.get_outputs()]
    assert names == (list(one.expected[0]) if name in JUDGED else ["predictions"])
    for place, output in enumerate(names):
        expected = [row[output] if name in JUDGED else row for row in one.expected]
        assert np.allclose(found[place], expected, rtol=1e-5, atol=1e-5), output


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Detector", "model.format: pickle"),
        ("Collated", "architectures:visits"),
        ("LastStep", "clicks .1, 1.*No file was written"),
    ],
)
def test_a_network_that_cannot_become_onnx_is_refused(trained, name, words, tmp_path):
    """The error names the reason, the file of an earlier export stays as it is, and there is no other."""
    model = wrappers.load(str(trained[name].folder))
    earlier = tmp_path / "network.onnx"
    earlier.write_text("of version 1")
    with pytest.raises(ModelError, match=words):
        onnx_export.export(model, earlier)
    assert list(tmp_path.iterdir()) == [earlier] and earlier.read_text() == "of version 1"

"""Images of folders, of tables and of a real S3 server: every file is a row, in one order, or it is named."""

import base64
import unicodedata
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from mlops_lib.cli.init.source import parse
from mlops_lib.columns.encode import Encoder
from mlops_lib.errors import DataError
from mlops_lib.loaders import streaming
from mlops_lib.loaders.base import SPLITS
from mlops_lib.loaders.files import LocalDataLoader
from mlops_lib.loaders.images import ImagesDataLoader
from mlops_lib.network_inputs.resolve import plan
from mlops_lib.settings.model import ModelSettings
from tests.support.pictures import encoded, noise

DRAW = np.random.default_rng(0)
#: Nine images.
FILES = [encoded(noise(DRAW), kind) for kind in ("PNG", "JPEG", "WEBP") for _ in range(3)]


def loader(path: Path | str, **more) -> ImagesDataLoader:
    """The loader, with a label."""
    return ImagesDataLoader(path, **{"label": "label", **more})


def put(folder: Path, *names: str, files: list[bytes] = FILES) -> Path:
    """Write images under these names."""
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(files[number % len(files)])
    return folder


def rows(dataset: LocalDataLoader) -> dict[str, tuple[str, bytes, str]]:
    """Key -> split, file and label."""
    return {
        one["key"]: (split, one.get("image", one.get("file")), one.get("label", one.get("y")))
        for split in SPLITS
        for one in dataset.load(split).to_dict("records")
    }


def classes_of(folder: Path, each: int = 20) -> Path:
    """A folder with two classes."""
    return put(folder, *(f"{name}/{i}.png" for name in ("cat", "dog") for i in range(each)))


def test_the_folder_of_an_image_is_its_label(tmp_path):
    """Every file is in one split; keys are paths; hidden files, those of systems and documents are no rows."""
    folder = classes_of(tmp_path / "photos")
    put(
        folder,
        "cat/deep/er/x.jpg",
        "cat/.hidden.png",
        ".git/a.png",
        "dog/Thumbs.db",
        "__MACOSX/cat/1.png",
        "README.md",
    )
    dataset = loader(folder)
    found = rows(dataset)
    assert len(found) == 41 and found["cat/deep/er/x.jpg"][2] == "cat"
    assert all(file == (folder / key).read_bytes() for key, (_, file, _) in found.items())
    assert {split for split, *_ in found.values()} == set(SPLITS)
    assert dataset.schema.kinds == {"image": "image"} and dataset.schema.key == "key"
    assert rows(loader(folder)) == found
    put(folder, "cat/new.png")
    more = rows(loader(folder))
    assert {key: more[key] for key in found} == found, "a new file moves no other"


def test_the_dataset_has_the_files_untouched(tmp_path):
    """Written in small row groups, in the order of the paths, with the shape of all images."""
    folder = classes_of(tmp_path / "photos", 30)
    dataset = loader(folder)
    counts = dataset.write(tmp_path / "data")
    assert sum(counts.values()) == 60
    made = LocalDataLoader(tmp_path / "data", label="label", key="key")
    assert rows(made) == rows(dataset)
    keys = pq.read_table(tmp_path / "data/train.parquet")["key"].to_pylist()
    assert keys == sorted(keys)
    column = made.schema.features["image"]
    assert (
        column.shape == (3, 10, 12)
        and "all of 12 x 10" in column.reason
        and made.schema.classes == ("cat", "dog")
    )
    assert dataset.write(tmp_path / "some", limit=3) == dict.fromkeys(SPLITS, 3)


def test_splits_that_are_ready_are_taken(tmp_path):
    """Above the classes; a class may have the name of a split."""
    names = [
        f"{split}/{name}/{i}.png"
        for split in ("train", "val", "test")
        for name in ("a", "b")
        for i in range(3)
    ]
    found = rows(loader(put(tmp_path / "ready", *names)))
    assert found["val/b/2.png"][::2] == ("validation", "b") and len(found) == 18
    vehicles = rows(loader(put(tmp_path / "vehicles", *(f"{n}/{i}.png" for n in ("train", "test", "bus") for i in range(9)))))  # fmt: skip
    assert {label for *_, label in vehicles.values()} == {"train", "test", "bus"}


def test_names_in_parts_are_the_same_names(tmp_path):
    """Korean folders in the form of macOS: keys, labels and splits are those of the composed form."""
    names = [f"{name}/사진 {i}.png" for name in ("고양이", "강아지") for i in range(10)]
    composed, parts = tmp_path / "composed", tmp_path / "parts"
    put(composed, *names)
    put(parts, *(unicodedata.normalize("NFD", name) for name in names))
    assert rows(loader(composed)) == rows(loader(parts))
    put(parts, names[0])
    with pytest.raises(DataError, match="one name in Unicode's composed form"):
        loader(parts).load("train")


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        (["1.png", "2.png"], "2 files that lie in no class's folder, such as '1.png'"),
        (["cat/1.png", "dog.png"], "1 files that lie in no class's folder, such as 'dog.png'"),
        (["README.md"], "has no images"),
        (["Pets/cat/1.png", "Pets/dog/1.png"], "set data.source to .*/Pets"),
        (["train/cat/1.png", "test/cat/1.png", "more/cat/1.png"], "more belongs to no split"),
        (["train/cat/1.png", "test/cat/1.png"], "no validation split"),
    ],
)
def test_folders_of_another_form_are_refused(tmp_path, names, wanted):
    """With the form that is wanted."""
    with pytest.raises(DataError, match=wanted):
        loader(put(tmp_path, *names)).load("train")


def test_every_file_that_is_no_image_is_named(tmp_path):
    """Cut, empty, of another kind; a wrong ending does not matter."""
    folder = classes_of(tmp_path / "photos")
    put(folder, "cat/jpeg.png", files=FILES[3:])
    bad = {"cat/cut.png": FILES[0][:60], "cat/empty.png": b"", "dog/notes.txt": b"hello"}
    for name, content in bad.items():
        (folder / name).write_bytes(content)
    with pytest.raises(DataError, match="3 of 44 values of column 'image' are no images") as refused:
        loader(folder).write(tmp_path / "data")
    assert all(name in str(refused.value) for name in bad)
    assert not (tmp_path / "data").exists() or not list((tmp_path / "data").glob("*.parquet"))


def test_a_table_names_its_images(tmp_path):
    """Paths are relative to the table; the path is the key; a missing file is named, and none outside is read."""
    folder = put(tmp_path / "t", *(f"img/{i}.png" for i in range(30)))
    table = pa.table({"file": [f"img/{i}.png" for i in range(30)], "age": range(30), "y": [0, 1] * 15})
    for name in ("t.csv", "t.parquet", "t.jsonl"):
        for old in folder.glob("t.*"):
            old.unlink()
        frame = table.to_pandas()
        write = {"t.csv": partial(frame.to_csv, index=False), "t.parquet": frame.to_parquet,
                 "t.jsonl": partial(frame.to_json, orient="records", lines=True)}  # fmt: skip
        write[name](folder / name)
        for source in (folder, folder / name):
            dataset = loader(source, label="y")
            every = [one for split in SPLITS for one in dataset.load(split).to_dict("records")]
            assert {one["key"]: one["file"] for one in every} == {
                f"img/{i}.png": FILES[i % 9] for i in range(30)
            }
            assert dataset.schema.kinds == {"file": "image", "age": "integer"}
    before = loader(folder, label="y").fingerprint()
    (folder / "img/3.png").write_bytes(FILES[0])
    assert loader(folder, label="y").fingerprint() != before
    outside = put(tmp_path, "secret.png") / "secret.png"
    for path in ("img/no.png", "../secret.png", str(outside), "x" * 300 + ".png"):
        (folder / "t.jsonl").write_text(f'{{"file": "{path}", "y": 0}}\n' * 12)
        with pytest.raises(
            DataError, match=r"12 paths of images lead to no file:\n.*t.jsonl, row 0(.|\n)*and 2 more"
        ):
            loader(folder, label="y").load("train")


def test_a_table_may_hold_the_files(tmp_path):
    """As bytes, or as structs of bytes and path, with offsets of 32 or 64 bits."""
    structs = [{"bytes": file, "path": None} for file in FILES * 5]
    for kind in (pa.binary(), pa.large_binary()):
        photo = pa.array(structs, pa.struct([("bytes", kind), ("path", pa.string())]))
        pq.write_table(
            pa.table({"photo": photo, "y": [0, 1, 0] * 15, "id": range(45)}), tmp_path / "a.parquet"
        )
        dataset = loader(tmp_path / "a.parquet", label="y", key="id")
        assert dataset.load("train")["photo"].iloc[0] in FILES and dataset.schema.kinds == {"photo": "image"}
    with pytest.raises(DataError, match="data.key names 'photo', a column of images"):
        loader(tmp_path / "a.parquet", label="y", key="photo")
    pq.write_table(pa.table({"n": [1.5, 2], "y": [0, 1]}), tmp_path / "b.parquet")
    with pytest.raises(DataError, match="b.parquet has no column with paths of images"):
        loader(tmp_path / "b.parquet", label="y").load("train")


def test_base64_is_stored_as_bytes(tmp_path):
    """Of any table, if config.yaml says that the column holds images; what is no base64 is named by its row."""
    texts = [base64.b64encode(FILES[i % 9]).decode() for i in range(40)]
    pd.DataFrame({"photo": texts, "y": [0, 1] * 20}).to_csv(tmp_path / "a.csv", index=False)
    dataset = LocalDataLoader(tmp_path / "a.csv", label="y", kinds={"photo": "image"})
    dataset.write(tmp_path / "data")
    assert pq.read_table(tmp_path / "data/test.parquet")["photo"].to_pylist()[0] in FILES
    texts[7] = "img/1.png"
    pd.DataFrame({"photo": texts, "y": [0, 1] * 20}).to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(
        DataError, match=r"Split .* Row \d+: 'photo' is 'img/1.png', which is no base64.*loader: images"
    ):
        LocalDataLoader(tmp_path / "a.csv", label="y", kinds={"photo": "image"}).write(tmp_path / "data")


def test_files_of_test_that_are_in_train_are_named(tmp_path):
    """The table of columns warns of them."""
    names = [
        f"{split}/{name}/{i}.png"
        for split in ("train", "val", "test")
        for name in ("a", "b")
        for i in range(4)
    ]
    files = [encoded(noise(DRAW)) for _ in names]
    files[-1] = files[0]
    dataset = loader(put(tmp_path / "photos", *names, files=files))
    dataset.write(tmp_path / "data")
    column = LocalDataLoader(tmp_path / "data", label="label").schema.features["image"]
    assert (
        "WARNING: 1 files of test are in another split too: test/b/3.png is train/a/0.png of train"
        in column.reason
    )


@pytest.fixture
def many(tmp_path):
    """A prepared dataset of 200 images in many row groups, and its encoder."""
    names = [f"{split}/{name}/{i:02}.png" for split in SPLITS for name in ("a", "b") for i in range(40)]
    files = [encoded(noise(DRAW)) for _ in names]
    dataset = loader(put(tmp_path / "photos", *names, files=files))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mlops_lib.loaders.base.GROUP_BYTES", 4_000)
        dataset.write(tmp_path / "data")
    made = LocalDataLoader(tmp_path / "data", label="label", key="key")
    network = type("Net", (), {"forward": lambda self, x: 0})
    found = plan(network, ModelSettings(), made.schema)
    return made, found.encoder(Encoder(found.encoded_schema, {}), None, tmp_path)


@pytest.mark.slow
def test_batches_do_not_depend_on_the_workers(many, monkeypatch):
    """Decoded in the process or in workers: the same batches in the same order; every epoch has each row once."""
    dataset, encoder = many
    monkeypatch.setattr(streaming, "WINDOW_BYTES", 20_000)
    epochs = {}
    for workers in (0, 2):
        made = dataset.torch("train", 16, shuffle=True, seed=1, num_workers=workers, encoder=encoder)
        epochs[workers] = [[x for x, _ in made] for _ in range(2)]
        assert len(made) == len(epochs[workers][0]) == 5
    for one, other in zip(epochs[0], epochs[2], strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    first, second = (torch.cat(one).flatten(1) for one in epochs[0])
    assert not torch.equal(first, second)
    assert torch.equal(first.sort(0).values, second.sort(0).values)
    labels = torch.cat([y for _, y in dataset.torch("train", 16, shuffle=True, encoder=encoder)])
    assert 5 < labels[:40].sum() < 35, "the classes are mixed"


@pytest.mark.slow
def test_ranks_share_the_images(many, monkeypatch):
    """Two ranks with workers have each row once in an epoch, in as many batches."""
    dataset, encoder = many
    seen = []
    for rank in range(2):
        monkeypatch.setattr("mlops_lib.loaders.batches._rank", lambda rank=rank: (rank, 2))
        batches = dataset.torch("train", 8, shuffle=True, num_workers=2, encoder=encoder)
        seen.append([x for x, _ in batches])
        assert len(seen[-1]) == len(batches) == 5
    monkeypatch.undo()
    whole = torch.cat([x for x, _ in dataset.torch("train", 80, encoder=encoder)]).flatten(1)
    shared = torch.cat([x for one in seen for x in one]).flatten(1)
    assert torch.equal(whole.sort(0).values, shared.sort(0).values)


@pytest.mark.slow
def test_images_in_s3_are_those_of_files(s3_keys, tmp_path, monkeypatch):
    """Folders of classes and a table; the fingerprint needs no download; what is here is not fetched again."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_keys.url)
    folder = classes_of(tmp_path / "photos")
    for file in folder.rglob("*.png"):
        s3_keys.client.put_object(
            Bucket="mlops", Key=f"photos/{file.relative_to(folder)}", Body=file.read_bytes()
        )
    assert parse("s3://mlops/photos", tmp_path).loader == "images"
    remote = loader("s3://mlops/photos", remote_folder=tmp_path / "remote")
    remote.fingerprint()
    assert not list((tmp_path / "remote").rglob("*.png"))
    assert rows(remote) == rows(loader(folder))
    s3_keys.client.put_object(
        Bucket="mlops", Key="photos/t.csv", Body=b"file,y\n" + b"cat/1.png,0\ndog/2.png,1\n" * 20
    )
    assert parse("s3://mlops/photos", tmp_path).loader == "local"
    table = loader("s3://mlops/photos", label="y", remote_folder=tmp_path / "other")
    assert set(rows(table)) == {"cat/1.png", "dog/2.png"}
    assert len(list((tmp_path / "other").rglob("*.png"))) == 2
    with pytest.raises(DataError, match="Set data.source to its folder"):
        loader("s3://mlops/photos/t.csv", label="y", remote_folder=tmp_path / "other").load("train")

"""Images in requests: base64, forms, raw bytes and tensors, on a toy model that tells what it was given."""

import asyncio
import base64
import hashlib
import json
from io import BytesIO
from typing import Any
from unittest.mock import patch

import numpy as np
import pyarrow.dataset as ds
import pytest
from PIL import Image

from mlops_lib.columns.schema import Column, Schema
from mlops_lib.network_inputs.spec import InputSpec
from serving.protocols.inference import LARGE_BODY
from serving.protocols.tensors import packed
from serving.web.forms import MAX_PARTS
from tests.support.toy_service import Caller, Toy, toy_service
from tests.support.waiting import until_async

#: Not opened here: this model takes any bytes.
CAT, DOG = b"\x89PNG\r\n\x1a\n\r\n--B\x00cat\r\n--", b"\xff\xd8\xffdog\xfe"
PIXELS = np.arange(6, dtype=np.float32).reshape(1, 2, 3) / 7
PHOTO = Column("photo", "image", stored="binary")
LABEL = Column("kind", "category", "label", stored="string")
COLUMNS = (
    Column("id", "category", "key", stored="int64"), PHOTO, Column("age", "integer", stored="int64", nullable=True),
    Column("dry", "boolean", stored="bool", nullable=True), Column("note", "text", stored="string", nullable=True),
    Column("at", "datetime", stored="timestamp[us]", nullable=True),
    Column("bands", "array", shape=(2,), width=2, nullable=True), LABEL,
)  # fmt: skip
BOUNDARY = "multipart/form-data; boundary=B"


class Seen(Toy):
    """Answers each row with the values that it has."""

    signature = None  # type: ignore[assignment]
    network_inputs = {"x": InputSpec("x", ("photo",), "image", "float32", (1, 2, 3))}  # noqa: RUF012

    def __init__(self, *columns: Column) -> None:
        super().__init__(waits=False)
        self._columns = Schema(columns)

    @property
    def columns(self) -> Schema:
        return self._columns

    def predict(self, input_data: Any) -> list[str]:
        return [_text(row) for row in input_data]


def _text(row: dict[str, Any]) -> str:
    return json.dumps({name: _plain(value) for name, value in row.items() if value is not None})


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return hashlib.sha256(value).hexdigest()
    return (
        value.tolist() if isinstance(value, np.ndarray) else str(value) if hasattr(value, "year") else value
    )


def digest(file: bytes) -> str:
    return hashlib.sha256(file).hexdigest()


def form(*parts: tuple[str, bytes | str, str | None]) -> bytes:
    """A form of (name, value, file name or None)."""
    found = b""
    for name, value, filename in parts:
        of_file = f'; filename="{filename}"\r\nContent-Type: image/png' if filename is not None else ""
        head = f'--B\r\nContent-Disposition: form-data; name="{name}"{of_file}\r\n\r\n'
        found += head.encode() + (value if isinstance(value, bytes) else value.encode()) + b"\r\n"
    return found + b"--B--\r\n"


def asked(
    tmp_path, columns: tuple[Column, ...], *requests: tuple[str, Any, str], **serving: Any
) -> list[Caller]:
    """The answers to (path, body, content type) of a service on `Seen`."""

    async def ask() -> list[Caller]:
        async with toy_service(tmp_path, Seen(*columns), **serving) as app:
            return [await Caller(app, path, body, content_type=kind)() for path, body, kind in requests]

    return asyncio.run(ask())


def seen(answer: Caller) -> Any:
    """The rows that the model had."""
    assert answer.status == 200, answer.body
    found = answer.json["predictions"] if "predictions" in answer.json else answer.json["outputs"][0]["data"]
    return json.loads(found) if isinstance(found, str) else [json.loads(one) for one in found]


def test_one_image_is_the_same_on_every_route(tmp_path):
    """Base64, data URL, form, raw bytes, /invocations and both forms of BYTES give the model the same bytes."""
    text = base64.b64encode(CAT).decode()
    tensor = {"name": "photo", "shape": [1], "datatype": "BYTES"}
    binary = packed([CAT])
    head = json.dumps({"inputs": [{**tensor, "parameters": {"binary_data_size": len(binary)}}]}).encode()
    requests = [
        ("/predict", {"photo": text}, "application/json"),
        ("/predict", {"inputs": [{"photo": f"data:image/png;base64,{text}"}]}, "application/json"),
        ("/predict", {"photo": base64.encodebytes(CAT).decode()}, "application/json"),
        ("/invoke", form(("photo", CAT, "cat.png")), BOUNDARY),
        ("/predict", form(("photo", text, None)), BOUNDARY),
        ("/predict", CAT, "image/png"),
        ("/invocations", {"dataframe_records": [{"photo": text}]}, "application/json"),
        ("/invocations", f"photo\n{text}\n".encode(), "text/csv"),
        ("/v2/models/toy/infer", {"inputs": [{**tensor, "data": [text]}]}, "application/json"),
        ("/v2/models/toy/infer", {"inputs": [{**tensor, "name": "x", "data": [text]}]}, "application/json"),
    ]  # fmt: skip

    async def ask() -> list[Caller]:
        async with toy_service(tmp_path, Seen(PHOTO, LABEL)) as app:
            found = [await Caller(app, path, body, content_type=kind)() for path, body, kind in requests]
            length = {"inference_header_content_length": str(len(head))}
            return [*found, await Caller(app, "/v2/models/toy/infer", head + binary, **length)()]

    for answer in asyncio.run(ask()):
        rows = seen(answer)
        assert (rows[0] if isinstance(rows, list) else rows) == {"photo": digest(CAT)}


def test_a_tensor_of_the_inputs_shape_is_not_decoded(tmp_path):
    """Nested lists in JSON, and FP32 tensors by the name of the column or of the input, whether JSON or binary."""
    tensor = {"name": "x", "shape": [1, 1, 2, 3], "datatype": "FP32"}
    binary = PIXELS.tobytes()
    head = json.dumps({"inputs": [{**tensor, "parameters": {"binary_data_size": len(binary)}}]}).encode()

    async def ask() -> list[Caller]:
        async with toy_service(tmp_path, Seen(PHOTO, LABEL)) as app:
            path, flat = "/v2/models/toy/infer", PIXELS.ravel().tolist()
            return [
                await Caller(app, "/predict", {"photo": PIXELS.tolist()})(),
                await Caller(app, path, {"inputs": [{**tensor, "data": flat}]})(),
                await Caller(
                    app, path, {"inputs": [{**tensor, "name": "photo", "data": [PIXELS.tolist()]}]}
                )(),
                await Caller(app, path, head + binary, inference_header_content_length=str(len(head)))(),
            ]

    for answer in asyncio.run(ask()):
        rows = seen(answer)
        assert (rows[0] if isinstance(rows, list) else rows) == {"photo": PIXELS.tolist()}


def test_a_form_has_a_field_for_each_column_and_repeats_it_for_each_row(tmp_path):
    """Values are read by the kinds of their columns; an empty one is missing; one row gives one prediction."""
    whole = form(
        ("photo", CAT, "고양이.png"), ("age", "7", None), ("dry", "true", None), ("note", "빗 속", None), ("id", "12", None),
        ("at", "2026-01-31", None), ("bands", "[1, 2.5]", None),
    )  # fmt: skip
    sparse = form(
        ("photo", DOG, ""), ("age", "", None), ("dry", "", None), ("bands", "", None), ("id", "", None)
    )
    several = form(("photo", CAT, "1"), ("photo", DOG, "2"), ("age", "1", None), ("age", "", None))
    one, empty, two = asked(
        tmp_path, COLUMNS, *(("/predict", body, BOUNDARY) for body in (whole, sparse, several))
    )
    given = {
        "photo": digest(CAT),
        "age": 7,
        "dry": True,
        "note": "빗 속",
        "at": "2026-01-31 00:00:00",
        "bands": [1, 2.5],
    }
    assert seen(one) == given
    assert seen(empty) == {"photo": digest(DOG)}
    assert seen(two) == [{"photo": digest(CAT), "age": 1}, {"photo": digest(DOG)}]


def test_a_form_may_have_an_empty_text(tmp_path):
    """Where prose has to be there, as in JSON; a category that nobody chose is refused, and a gap is a gap."""
    columns = (PHOTO, Column("note", "text", stored="string"), LABEL)
    note, json_note = asked(
        tmp_path,
        columns,
        ("/predict", form(("photo", CAT, "1"), ("note", "", None)), BOUNDARY),
        ("/predict", json.dumps({"photo": base64.b64encode(CAT).decode(), "note": ""}).encode(), JSON),
    )
    assert seen(note) == seen(json_note) == {"photo": digest(CAT), "note": ""}
    kind = Column("note", "category", stored="string")
    (refused,) = asked(
        tmp_path, (PHOTO, kind, LABEL), ("/predict", form(("photo", CAT, "1"), ("note", "", None)), BOUNDARY)
    )
    assert refused.status == 422 and refused.json["errors"][0]["column"] == "note"


JSON = "application/json"


def test_a_request_has_a_limited_number_of_pixels(tmp_path):
    """A form of 40 kB with five images of 49 million pixels each; four of them are within the limit."""
    held = BytesIO()
    Image.new("1", (7_000, 7_000)).save(held, "PNG")
    bombs = [("photo", held.getvalue(), "a.png")] * 5
    requests = [("/predict", form(*bombs[:count]), BOUNDARY) for count in (5, 4)]
    refused, taken = asked(tmp_path, (PHOTO, LABEL), *requests)
    assert (refused.status, refused.json["code"]) == (413, "too_many_pixels")
    assert (
        "The 5 images have 245,000,000 pixels, and a request may have 200,000,000" in refused.json["detail"]
    )
    assert seen(taken) == [{"photo": digest(held.getvalue())}] * 4


def test_large_bodies_are_decoded_beside_the_event_loop(tmp_path):
    """In a thread, above 64 KiB: its rows and its refusals are the same."""
    text = base64.b64encode(CAT + bytes(LARGE_BODY)).decode()
    bodies = [{"photo": text}, {"photo": text + "!"}]
    with patch.object(asyncio, "to_thread", wraps=asyncio.to_thread) as threaded:
        good, bad = asked(
            tmp_path, (PHOTO, LABEL), *(("/predict", one, "application/json") for one in bodies)
        )
    assert seen(good) == {"photo": digest(CAT + bytes(LARGE_BODY))} and bad.status == 422
    assert sum("decode" in call.args[0].__name__ for call in threaded.call_args_list) == 2


@pytest.mark.parametrize(
    ("body", "kind", "status", "words"),
    [
        ({"photo": None}, JSON, 422, ["Row 0", "'photo'", "must be an image: the bytes of a PNG", "no gaps"]),
        ({"photo": ""}, JSON, 422, ["'photo'", "empty"]),
        ({"photo": "no base64!"}, JSON, 422, ["'photo'", "no base64!", "not base64"]),
        ({"photo": "data:image/png,x"}, JSON, 422, ["'photo'", "data URL"]),
        ({"photo": 7}, JSON, 422, ["'photo' is 7"]),
        ({"inputs": [{"photo": "aGk="}, {"photo": True}]}, JSON, 422, ["Row 1", "'photo' is true"]),
        ({"photo": [[[1, 2], [3, 4]]]}, JSON, 422, ["shape [1, 2, 2]", "float32 of shape [1, 2, 3]"]),
        ({"photo": [[1], [2, 3]]}, JSON, 422, ["lists of different lengths"]),
        ({"photo": [[[1, 2, 3], [4, 5, 1e39]]]}, JSON, 422, ["not all finite"]),
        ({"photo": [[["a", "b", "c"], [4, 5, 6]]]}, JSON, 422, ["shape [1, 2, 3]"]),
        ({"foto": "aGk="}, JSON, 422, ["'foto'", "photo"]),
        (b"", "image/png", 422, ["'photo'", "empty file"]),
        (form(("photo", b"", "empty.png")), BOUNDARY, 422, ["'photo'", "empty file"]),
        (form(("photo", b"", "")), BOUNDARY, 422, ["'photo' is null", "no gaps"]),
        (form(("foto", CAT, "1")), BOUNDARY, 422, ["'foto'", "photo"]),
        (form(("photo", CAT, "1"), ("photo", DOG, "2"), ("kind", "a", None)), BOUNDARY, 422, ["'photo' 2, 'kind' 1"]),
        (form(("photo", b"\xff", None)), BOUNDARY, 422, ["'photo'", "not UTF-8", "as a file"]),
        (form(*[("photo", "aGk=", None)] * (MAX_PARTS + 1)), BOUNDARY, 413, [f"more than {MAX_PARTS} parts"]),
        (form(), BOUNDARY, 422, ["no rows"]),
        (form(("photo", CAT, "1"))[:-8], BOUNDARY, 400, ["breaks off"]),
        (form(("photo", CAT, "1")), "multipart/form-data", 400, ["boundary"]),
        (form(("photo", CAT, "1")).replace(b"image/png", b"image/png\r\nContent-Transfer-Encoding: base64"), BOUNDARY, 422, ["'photo'", "base64"]),
        (b"--B\r\nContent-Type: image/png\r\n\r\nx\r\n--B--", BOUNDARY, 422, ["has no name"]),
        (b"\x00\x01", BOUNDARY, 400, ["multipart/form-data"]),
        (CAT, "application/octet-stream", 400, ["Content-Type: image/png"]),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)  # fmt: skip
def test_a_body_that_does_not_fit_names_the_field_and_the_remedy(tmp_path, body, kind, status, words):
    """And is no failure of the service."""
    (answer,) = asked(tmp_path, (PHOTO, LABEL), ("/predict", body, kind))
    assert answer.status == status, answer.body
    assert all(word in answer.json["detail"] for word in words), answer.json["detail"]
    assert len(answer.body) < 1_000


def test_a_model_with_several_columns_takes_forms_and_no_bare_image(tmp_path):
    """And a file in the field of a number is refused by name."""
    age = Column("age", "integer", stored="int64")
    bare, file, number = asked(
        tmp_path,
        (PHOTO, age, LABEL),
        ("/predict", CAT, "image/jpeg"),
        ("/predict", form(("photo", CAT, "1"), ("age", b"7", "age.txt")), BOUNDARY),
        ("/predict", form(("photo", CAT, "1"), ("age", "seven", None)), BOUNDARY),
    )
    assert bare.status == 415 and "photo, age" in bare.json["detail"] and "multipart" in bare.json["detail"]
    assert file.status == 422 and "'age' is a file" in file.json["detail"]
    assert file.json["errors"][0]["column"] == number.json["errors"][0]["column"] == "age"
    assert '"seven"' in number.json["detail"]


def test_a_column_may_have_any_name_in_a_form(tmp_path):
    """Browsers escape quotes and line ends in names."""
    odd = Column('my "photo"\n사진', "image", stored="binary")
    (answer,) = asked(
        tmp_path, (odd, LABEL), ("/predict", form(("my %22photo%22%0A사진", CAT, "1")), BOUNDARY)
    )
    assert seen(answer) == {odd.name: digest(CAT)}


def test_the_log_has_digest_and_size_of_an_image(tmp_path):
    """Of bytes, of a tensor, and of a column that the model does not take.

    Also for the challenger's copy of the request. Feedback finds the request.
    """

    async def ask() -> list[dict[str, Any]]:
        log = tmp_path / "log"
        unused = Column("scan", "image", "unused", stored="binary")
        champion, challenger = Seen(PHOTO, unused, LABEL), Seen(PHOTO, unused, LABEL)
        async with toy_service(tmp_path, champion, challenger=challenger, prediction_log=str(log)) as app:
            one = await Caller(app, "/predict", CAT, content_type="image/png", x_request_id="one")()
            two = {"photo": PIXELS.tolist(), "scan": base64.b64encode(DOG).decode()}
            await Caller(app, "/predict", two, x_request_id="two")()
            assert one.status == 200
            said = await Caller(app, "/feedback", {"request_id": "one", "outcome": "cat"})()
            assert said.status == 202
            await until_async(lambda: len(app.state.service.log._records.items) == 4, "both have answered")
        rows = ds.dataset(log, format="parquet").to_table().to_pylist()
        return [row for row in rows if row["request"]]

    found = {(row["request_id"], row["role"]): json.loads(row["request"]) for row in asyncio.run(ask())}
    of_file = [{"photo": {"sha256": digest(CAT), "bytes": len(CAT)}}]
    of_tensor = [
        {
            "photo": {"sha256": digest(PIXELS.tobytes()), "bytes": PIXELS.nbytes},
            "scan": {"sha256": digest(DOG), "bytes": len(DOG)},
        }
    ]
    assert found == {
        ("one", "champion"): of_file, ("one", "mirror"): of_file,
        ("two", "champion"): of_tensor, ("two", "mirror"): of_tensor,
    }  # fmt: skip


def test_openapi_has_the_form_where_the_model_takes_images(tmp_path):
    """With a file for each column of images; the bare image where it is the only column."""

    async def content(*columns: Column) -> tuple[dict[str, Any], dict[str, Any]]:
        async with toy_service(tmp_path, Seen(*columns)) as app:
            described = (await Caller(app, "/openapi.json", b"", method="GET")()).json
            return described["paths"]["/predict"]["post"]["requestBody"]["content"], described["components"][
                "schemas"
            ]

    one, schemas = asyncio.run(content(PHOTO, LABEL))
    assert set(one) == {"application/json", "multipart/form-data", "image/*"}
    assert schemas["Form"]["properties"]["photo"].items() >= {"type": "string", "format": "binary"}.items()
    assert schemas["Row"]["properties"]["photo"]["contentEncoding"] == "base64"
    several, schemas = asyncio.run(content(*COLUMNS))
    assert set(several) == {"application/json", "multipart/form-data"}
    assert set(schemas["Form"]["properties"]) == {column.name for column in COLUMNS}
    none, _ = asyncio.run(content(Column("age", "integer", stored="int64"), LABEL))
    assert set(none) == {"application/json"}

"""Images through a real service: every route gives the model's own answer to the last bit, alone and in batches."""

import base64
import hashlib
import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from mlops_lib import wrappers
from mlops_lib.errors import DataError
from mlops_lib.lineage.why.prediction import logged
from mlops_lib.registry import Registry
from tests.support import gallery
from tests.support.pictures import encoded, random_files
from tests.support.shop import running
from tests.support.waiting import until

pytestmark = pytest.mark.slow
INFER = "/v2/models/gallery/infer"


@pytest.fixture(scope="module")
def service(gallery_project):
    """The service on the model of pictures."""
    with running(gallery_project) as found:
        yield found


@pytest.fixture(scope="module")
def wrapper(gallery_project):
    """The same model in this process."""
    Registry(gallery_project)
    return wrappers.load("models:/gallery/1")


def form(files):
    """A form with several files."""
    head = '--B\r\nContent-Disposition: form-data; name="photo"; filename="x"\r\n\r\n'
    return b"".join(head.encode() + file + b"\r\n" for file in files) + b"--B--\r\n"


def test_every_route_gives_the_same_bits(service, wrapper):
    """JSON, data URLs, a form, raw bytes, /invocations, and tritonclient's tensors: of files, and of decoded images."""
    from tritonclient.http import InferenceServerClient, InferInput

    files = random_files(24, seed=3)
    expected = wrapper.predict([{"photo": file} for file in files]).tolist()
    assert len(set(map(tuple, expected))) > 20, "images that cannot be told apart prove nothing"
    texts = [base64.b64encode(file).decode() for file in files]
    rows = [{"photo": text} for text in texts]
    urls = [{"photo": f"data:image/png;base64,{text}"} for text in texts]
    found = {
        "json": service.post("/predict", {"inputs": rows})[1]["predictions"],
        "urls": service.post("/predict", {"inputs": urls})[1]["predictions"],
        "form": service.post("/predict", form(files), **{"Content-Type": "multipart/form-data; boundary=B"})[1]["predictions"],
        "raw": [service.post("/predict", file, **{"Content-Type": "image/png"})[1]["predictions"] for file in files],
        "mlflow": service.post("/invocations", {"dataframe_records": rows})[1]["predictions"],
    }  # fmt: skip
    decoded = wrapper.inputs.padded(wrapper.inputs.prepared({"photo": files}, len(files)))["x"]
    objects = np.array(files, dtype=object)
    client = InferenceServerClient(service.url.removeprefix("http://"))
    for name, values, binary in (
        ("photo", objects, True), ("x", objects.reshape(-1, 1), True), ("x", decoded, True), ("photo", decoded, False)
    ):  # fmt: skip
        tensor = InferInput(name, values.shape, "FP32" if values is decoded else "BYTES")
        tensor.set_data_from_numpy(values, binary_data=binary)
        answer = client.infer("gallery", [tensor]).as_numpy("predictions")
        found[f"triton {name} {values.dtype} {binary}"] = answer.tolist()
    client.close()
    found["lists"] = service.post("/predict", {"inputs": [{"photo": one.tolist()} for one in decoded]})[1][
        "predictions"
    ]
    assert {name: answer == expected for name, answer in found.items()} == dict.fromkeys(found, True)
    assert len(service.try_examples()) == 5


def test_hostile_files_cost_nobody_else_an_answer(service, wrapper):
    """Between 40 good requests at once: truncated files, a bomb, an SVG, text. Each is refused with its reason."""
    bomb = encoded(Image.new("1", (9_000, 9_000)))
    bad = {
        encoded(gallery.large(), "JPEG")[:-20]: "truncated", bomb: "9000 x 9000 pixels",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>": "no file of a known format", b"": "an empty file",
    }  # fmt: skip
    good, _ = gallery.pictures(40, seed=9)
    expected = wrapper.predict([{"photo": file} for file in good]).tolist()

    def ask(file):
        return service.post("/predict", file, **{"Content-Type": "image/png"})

    sent = [file for at, one in enumerate(good) for file in (one, [*bad][at % len(bad)])]
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(ask, sent))
    assert [answer["predictions"] for _, answer in answers[::2]] == expected
    for file, (status, answer) in zip(sent[1::2], answers[1::2], strict=True):
        assert status == 422 and bad[file] in answer["detail"] and "Traceback" not in json.dumps(answer)
        assert answer["errors"][0]["column"] == "photo"
    assert service.get("/readyz")[0] == 200


def test_the_log_names_the_file_for_mlops_why(service, gallery_project):
    """The digest that sha256sum shows; no bytes of the image are in the log. Feedback on the request is taken."""
    file = gallery.pictures(1, seed=4)[0][0]
    request = {"Content-Type": "image/jpeg", "X-Request-ID": "why-1"}
    assert service.post("/predict", file, **request)[0] == 200
    assert service.post("/feedback", {"request_id": "why-1", "outcome": "dark"})[0] == 202

    def link():
        try:
            ((found, _),) = logged(gallery_project, "why-1")
        except DataError:  # not written yet
            return None
        return found

    row = until(link, "the request is in the log").facts["first row"]
    assert f'"sha256": "{hashlib.sha256(file).hexdigest()}", "bytes": {len(file)}' in row
    text = base64.b64encode(file).decode()
    logs = (gallery_project.root / "log").glob("*.parquet")
    assert not any(text in str(pq.read_table(one).to_pylist()) for one in logs)

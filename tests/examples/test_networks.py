"""The examples of networks, by their four notebooks to a service: the figures of the documentation, and answers to raw input."""

import base64
import hashlib
import json
import re
import shutil
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unicodedata import normalize

import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

from examples.digits import get_data
from examples.repurchase.demo import Service, post
from examples.text.letters import Letters
from mlops_lib import config, tracking
from mlops_lib.promotion import promote
from mlops_lib.steps.contracts import RegisterOutputs, TrainOutputs
from pipelines.local import run_local
from tests.support.projects import ROOT
from tests.support.waiting import LIMIT_S

EXAMPLES = ROOT / "examples"


def copied(name: str, folder: Path, blank_store: Path) -> Path:
    """The example's config.yaml in a copy of its folder, with a store and a work folder of its own."""
    shutil.copytree(EXAMPLES / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(blank_store, folder / "mlflow.db")
    file = folder / name / "config.yaml"
    content = yaml.safe_load(file.read_text())
    content["mlflow"]["tracking_uri"] = f"sqlite:///{folder}/mlflow.db"
    content["pipeline"] = {"notebooks": str(ROOT / "notebooks"), "work_dir": str(folder / "work")}
    file.write_text(yaml.safe_dump(content))
    return file


@contextmanager
def promoted(file: Path) -> Iterator[tuple[dict[str, Any], str]]:
    """Metrics of the training run, and the address of the service, after `mlops run` and `mlops promote`."""
    loaded = config.load_with_origins(file)
    result = run_local(loaded.settings, file, {})
    registered = result.of(RegisterOutputs)
    assert registered is not None, "the gate refused it"
    metrics = tracking.connect(loaded.settings).get_run(result.of(TrainOutputs).run_id).data.metrics
    promote(loaded.settings, registered.model_name, registered.version)
    with Service(file) as service:
        yield metrics, service.start()


def documented(heading: str) -> dict[str, float]:
    """Metric -> figure, of the first table below a heading of docs/example.md."""
    section = (ROOT / "docs/example.md").read_text().partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return {
        name: float(value) for name, value in re.findall(r"^\| `(\w+)` \| ([\d.]+) \|", section, re.MULTILINE)
    }


def test_the_texts_are_those_that_the_documentation_describes() -> None:
    """Each text once, in one language; the numbers of rows and messages are those of docs/example.md."""
    rows = pq.read_table(EXAMPLES / "text/data/messages.parquet").to_pandas()
    assert rows["text"].str.casefold().is_unique and rows["language"].nunique() == 12
    assert rows.loc[rows["language"] == "ko", "text"].str.contains("[가-힣]").mean() > 0.99
    text = (ROOT / "docs/example.md").read_text()
    assert f"{len(rows):,} texts of {rows['message'].nunique():,} messages" in text


@pytest.mark.parametrize("text", ["주문하신 상품", "Größe für später"])
def test_letters_in_their_parts_have_the_same_ids(text: str) -> None:
    """A text in Unicode's form NFD, as a Mac may send it, is the same text."""
    assert Letters().encode(normalize("NFD", text)) == Letters().encode(text)


@pytest.mark.slow
@pytest.mark.usefixtures("forked_steps")
def test_the_language_of_a_text(tmp_path, blank_store) -> None:
    """The documented scores, and the languages of texts that are not in the data, as a caller would send them."""
    texts = {
        "ko": "주문하신 상품이 오늘 출고되었습니다. 배송 조회는 내일부터 가능합니다.",
        "ja": "ご注文の商品は本日発送されました。",
        "de": "Ihre Bestellung wurde heute verschickt und kommt morgen an.",
        "es": "Su pedido se ha enviado hoy y llegará mañana por la tarde.",
        "en": "Your order has been sent today and will arrive tomorrow.",
    }
    with promoted(copied("text", tmp_path, blank_store)) as (metrics, url):
        for name, figure in documented("The language of a text").items():
            assert metrics[f"test.{name}"] == pytest.approx(figure, abs=0.02), name
        answer = post(f"{url}/predict", {"inputs": [{"text": text} for text in texts.values()]})
        found = [answer["classes"][row.index(max(row))] for row in answer["predictions"]]
        assert found == list(texts)
        alone = post(f"{url}/predict", {"inputs": {"text": texts["ko"]}})
        assert alone["predictions"] == answer["predictions"][0]


@pytest.mark.slow
@pytest.mark.usefixtures("forked_steps")
def test_the_digit_in_an_image(tmp_path, blank_store) -> None:
    """The documented scores, and the digit in an uploaded file: in a form, as raw bytes and as base64 the same answer."""
    file = copied("digits", tmp_path, blank_store)
    data = file.parent / "data"
    shutil.rmtree(data, ignore_errors=True)
    get_data.main(data)
    images = sorted(data.rglob("*.png"))
    digest = hashlib.sha256(b"".join(Image.open(image).tobytes() for image in images)).hexdigest()
    assert (len(images), digest[:16]) == (1_797, "24022bfd27bd4446")
    with promoted(file) as (metrics, url):
        for name, figure in documented("The digit in an image").items():
            assert metrics[f"test.{name}"] == pytest.approx(figure, abs=0.02), name
        image = (data / "7" / "0007.png").read_bytes()
        form = (
            b'--x\r\nContent-Disposition: form-data; name="image"; filename="7.png"\r\n\r\n'
            + image
            + b"\r\n--x--\r\n"
        )
        answers = [
            upload(url, image, "image/png"),
            upload(url, form, "multipart/form-data; boundary=x"),
            post(f"{url}/predict", {"inputs": {"image": base64.b64encode(image).decode()}}),
        ]
        found = answers[0]["predictions"]
        assert answers[0]["classes"][found.index(max(found))] == "7"
        assert all(answer["predictions"] == found for answer in answers)


def upload(url: str, body: bytes, content_type: str) -> Any:
    """The answer to a body that is no JSON."""
    request = urllib.request.Request(f"{url}/predict", body, {"Content-Type": content_type})
    with urllib.request.urlopen(request, timeout=LIMIT_S) as response:
        return json.load(response)

"""Raw rows of the source over every protocol: the same predictions, and the names of the classes."""

import asyncio
import json
from contextlib import asynccontextmanager

import numpy as np
import pytest

from serving.protocols.tensors import packed
from tests.support import raw_requests
from tests.support.churn import KEY, LABEL, Weights, customers, sent
from tests.support.toy_service import Caller, toy_service

WEIGHTS = Weights()
FRAME = customers(40, seed=1)
ROWS = sent(FRAME)
EXPECTED = WEIGHTS.predict(FRAME).tolist()
KINDS = WEIGHTS.columns.kinds


@asynccontextmanager
async def service(folder, **options):
    """The service on the weights."""
    async with toy_service(folder, WEIGHTS, **options) as app:
        yield app


def call(app, route, rows):
    """A request in the protocol of a route."""
    path, body, headers = raw_requests.request(route, rows, KINDS, "toy")
    return Caller(app, path, body, **headers)


def predictions(answer):
    """The predictions of an answer, whatever its protocol."""
    assert answer.status == 200, answer.body
    return raw_requests.predictions(answer.json)


@pytest.mark.parametrize("route", raw_requests.ROUTES)
@pytest.mark.parametrize("inline_rows", [0, 1000])
def test_raw_rows_get_the_models_own_predictions(tmp_path, route, inline_rows):
    """To the last bit, one by one, in sevens and all at once, in a thread and on the event loop."""

    async def main():
        async with service(tmp_path, inline_rows=inline_rows) as app:
            for size in (1, 7, len(ROWS)):
                parts = [ROWS[at : at + size] for at in range(0, len(ROWS), size)]
                answers = await asyncio.gather(*(call(app, route, part)() for part in parts))
                assert [one for answer in answers for one in predictions(answer)] == EXPECTED, size

    asyncio.run(main())


def test_binary_tensors_with_gaps(tmp_path):
    """NaN in a tensor of floats is a missing value; an infinity is refused."""

    def body(rows):
        head, tail = [], b""
        for tensor in raw_requests.tensors(rows, KINDS):
            kinds = {"FP64": np.float64, "INT64": np.int64, "BOOL": np.bool_}
            # The binary form has no missing text.
            texts = [text if text is not None else "신용카드" for text in tensor["data"]]
            data = (
                packed(texts)
                if tensor["datatype"] == "BYTES"
                else np.array(tensor["data"], kinds[tensor["datatype"]]).tobytes()
            )
            head.append({**tensor, "parameters": {"binary_data_size": len(data)}})
            del head[-1]["data"]
            tail += data
        return json.dumps({"inputs": head}).encode(), tail

    filled = FRAME.fillna({"결제.수단": "신용카드"})

    async def main():
        async with service(tmp_path) as app:
            for rows, status in ((sent(filled), 200), (sent(filled.assign(**{"월 요금": np.inf})), 422)):
                head, tail = body(rows)
                length = {"inference_header_content_length": str(len(head))}
                answer = await Caller(app, "/v2/models/toy/infer", head + tail, **length)()
                assert answer.status == status, answer.body
                if status == 200:
                    assert predictions(answer) == WEIGHTS.predict(filled).tolist()

    asyncio.run(main())


def test_a_bad_value_fails_its_own_request_alone(tmp_path):
    """Requests of one batch: the one with a bad date is told its row, column and value; the others are answered."""

    async def main():
        async with service(tmp_path) as app:
            bad = [*ROWS[:2], {**ROWS[2], "가입일": "어제"}]
            calls = [call(app, "/predict", rows) for rows in (ROWS[:3], bad, ROWS[3:5])]
            first, refused, last = await asyncio.gather(*(one() for one in calls))
            assert predictions(first) + predictions(last) == EXPECTED[:5]
            assert refused.status == 422 and refused.json["code"] == "invalid_input"
            assert refused.json["detail"].startswith("Row 2: column '가입일' is \"어제\", and must be a date")

    asyncio.run(main())


def test_answers_name_the_classes(tmp_path):
    """In the order of the probabilities, from the train split; MLflow's own form of answer has no place for them."""

    async def main():
        async with service(tmp_path) as app:
            for route, where in (("/predict", []), ("/invoke", []), ("/v2", ["parameters"])):
                found = (await call(app, route, ROWS[:1])()).json
                for name in where:
                    found = found[name]
                assert found["classes"] == ["아니오", "예"]
            assert list((await call(app, "/invocations records", ROWS[:1])()).json) == ["predictions"]
            document = (await Caller(app, "/openapi.json", b"", method="GET")()).json
            assert "classes" in document["components"]["schemas"]["Answer"]["properties"]

    asyncio.run(main())


class TwoLabels(Weights):
    """Weights with a probability for each of two labels."""

    def predict(self, input_data):
        found = super().predict(input_data)
        return np.stack([found, 1 - found], axis=1)


def test_answers_name_several_labels(tmp_path):
    """In the order of a prediction's numbers, on every route that has a place for them, and in /status."""

    async def main():
        model = TwoLabels((LABEL, "월 요금"))
        labels, wanted = list(model.columns.labels), model.predict(FRAME.head(1)).tolist()
        assert set(labels) == {LABEL, "월 요금"} and not model.classes
        async with toy_service(tmp_path, model) as app:
            for route, where in (("/predict", []), ("/invoke", []), ("/v2", ["parameters"])):
                path, body, headers = raw_requests.request(route, ROWS[:1], model.columns.kinds, "toy")
                answer = await Caller(app, path, body, **headers)()
                assert answer.status == 200, answer.body
                found = answer.json
                for name in where:
                    found = found[name]
                assert found["labels"] == labels and "classes" not in found
            one = await Caller(app, "/predict", json.dumps(ROWS[0]).encode())()
            assert one.json["predictions"] == wanted[0]
            status = (await Caller(app, "/status", b"", method="GET")()).json
            assert status["label"] == ", ".join(labels)

    asyncio.run(main())


def test_the_settings_decide_about_names_that_the_source_does_not_have(tmp_path):
    """Refused with the nearest name; ignored where serving.extra_columns says so. Key and label are always ignored."""
    slip = {**ROWS[0], "계약 ": "매월"}
    assert {KEY, LABEL} <= slip.keys()

    async def main():
        async with service(tmp_path) as app:
            answer = await call(app, "/predict", [slip])()
            assert answer.status == 422 and "Did you mean '계약'?" in answer.json["detail"]
        async with service(tmp_path, extra_columns="ignore") as app:
            assert predictions(await call(app, "/predict", [slip])()) == EXPECTED[:1]

    asyncio.run(main())


def test_models_metadata_has_a_tensor_for_each_feature(tmp_path):
    """Numbers by their kind, texts and dates as BYTES."""

    async def main():
        async with service(tmp_path) as app:
            inputs = (await Caller(app, "/v2/models/toy", b"", method="GET")()).json["inputs"]
            found = {each["name"]: each["datatype"] for each in inputs}
            assert found == {each["name"]: each["datatype"] for each in raw_requests.tensors(ROWS, KINDS)}

    asyncio.run(main())

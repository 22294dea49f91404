"""What is kept of the challenger's answers, with a real feature store behind both versions."""

import asyncio
import json
import time
from collections import Counter

import mlflow
import pandas as pd
import pyarrow.parquet as pq
import pytest
from mlflow.models import infer_signature

from mlops_lib.features.feast import FeastProvider
from mlops_lib.monitoring.prediction_log import COLUMNS, PredictionLog
from mlops_lib.registry import ModelVersion, Registry
from serving.inference.rows import Context
from serving.models.loading import load
from serving.models.served import ServedModel
from serving.service import Service
from tests.support.feature_projects import NOW, write_config, write_repo
from tests.support.shop import ROW, answers, copy, running
from tests.support.toy_service import Caller, Toy, toy_service
from tests.support.waiting import until_async

TAGS = {"mlops.feature_service": "numbers", "mlops.entity_keys": "user_id"}


class Sum(mlflow.pyfunc.PythonModel):
    """Adds up what it is given."""

    def predict(self, context, model_input, params=None):
        return model_input.sum(axis=1).to_numpy()


class Sixes(Toy):
    """Answers 6 whatever it is asked."""

    def _answer(self, rows):
        return [6.0] * len(rows)


@pytest.mark.slow
@pytest.mark.parametrize(("share", "role"), [(1.0, "challenger"), (0.0, "mirror")])
def test_the_challengers_record_has_the_features_and_their_freshness(tmp_path, share, role):
    """As canary and as mirror: features and where they came from are logged; a canary's caller is told as well."""
    provider = FeastProvider(write_repo(tmp_path / "repo"))
    provider.apply()
    provider.materialize(NOW.replace(year=2000), NOW)
    settings = write_config(
        tmp_path,
        f"serving: {{canary_share: {share}, prediction_log: log, features: {{timeout_s: 30}}}}",
    )
    example = pd.DataFrame({"visits": [1], "age": [2.0]})
    mlflow.pyfunc.save_model(
        tmp_path / "model", python_model=Sum(), signature=infer_signature(example, [3.0]), pip_requirements=[]
    )

    async def main():
        service = Service(settings)
        for number, each in enumerate(("champion", "challenger"), start=1):
            version = ModelVersion("small", number, "Production", "run", TAGS)
            loaded = await load(version, tmp_path / "model", settings, service.metrics)
            service.models.served[each] = ServedModel(loaded, each, settings, service.metrics)
        champion = service.models.current()
        service.log.start()
        rows = champion.schema.parse(b'{"user_id": 1}')
        context = Context("asked", 14, deadline=time.monotonic() + 60)
        answered = await service.predictor.infer(champion, rows, context)
        await service.stop()  # waits for the mirror
        return answered

    answered = asyncio.run(main())
    assert answered.predictions == [26.0] and answered.served.role == ("challenger" if share else "champion")
    assert answered.features.header == "online=2"
    logged = [row for file in (tmp_path / "log").glob("*.parquet") for row in pq.read_table(file).to_pylist()]
    (record,) = [row for row in logged if row["role"] == role]
    assert json.loads(record["features"]) == [{"visits": 5, "age": 21.0}]
    assert json.loads(record["freshness"])["counts"] == {"online": 2}
    assert (record["version"], json.loads(record["predictions"])) == (2, [26.0])


@pytest.mark.slow
def test_the_challenger_is_mirrored_and_answers_its_share(shop, tmp_path):
    """A share of entities, always the same ones, is answered by the challenger; the rest is mirrored to it."""
    log = tmp_path / "log"
    settings = copy(shop, tmp_path / "project", canary_share=0.5, prediction_log=str(log))
    Registry(settings)._client.set_registered_model_alias("shop", "challenger", "2")
    expected = {version: answers(settings, version) for version in (1, 2)}
    with running(settings) as service:
        service.until(lambda: "challenger" in service.get("/status")[1])
        rounds = []
        for _ in range(2):
            said = [service.post("/predict", {**ROW, "user_id": user})[1] for user in range(40)]
            assert all(
                each["predictions"] == pytest.approx(expected[each["model"]["version"]], abs=1e-6)
                for each in said
            )
            rounds.append([each["model"]["version"] for each in said])
        assert rounds[0] == rounds[1] and 8 <= rounds[0].count(2) <= 32

        def logged():
            rows = [
                row for file in log.glob("predictions-*.parquet") for row in pq.read_table(file).to_pylist()
            ]
            return Counter(row["role"] for row in rows)

        mirrored = 2 * rounds[0].count(1)
        service.until(
            lambda: logged() == {"champion": mirrored, "mirror": mirrored, "challenger": 80 - mirrored}
        )


def test_a_request_that_the_challenger_fails_on_is_logged_with_the_error(tmp_path):
    """Otherwise a comparison in service would not see the rows that it fails on. One that had no room is only counted."""

    async def main():
        challenger = Toy(waits=False)
        async with toy_service(
            tmp_path, Sixes(), challenger=challenger, prediction_log="log", queue_rows=2
        ) as app:
            service = app.state.service
            for x in (1, 666):
                assert (await Caller(app, "/predict", {"x": x})()).status == 200
                await until_async(lambda: not service.predictor.mirror._in_flight, "the request is mirrored")
            service.models.challenger.batcher.waiting_rows = 2
            assert (await Caller(app, "/predict", {"x": 2})()).status == 200
            service.models.challenger.batcher.waiting_rows = 0

    asyncio.run(main())
    log = PredictionLog(tmp_path / "log")
    rows = [row for table in log.read("predictions", COLUMNS["predictions"]) for row in table.to_pylist()]
    said = [(row["role"], row["predictions"], row["finished"], row["error"]) for row in rows]
    assert sorted(said, key=str) == [
        ("champion", "[6.0]", True, None), ("champion", "[6.0]", True, None), ("champion", "[6.0]", True, None),
        ("mirror", "[2.0]", True, None), ("mirror", "[]", False, "ValueError"),
    ]  # fmt: skip

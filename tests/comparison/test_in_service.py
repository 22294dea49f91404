"""`mlops compare --log`: a service with a challenger, requests and feedback, and the outcome that follows."""

import asyncio
import json
import re
import shutil
from datetime import UTC, datetime, timedelta

import pyarrow.parquet as pq
import pytest
from mlflow.models import Model
from typer.testing import CliRunner

from mlops_lib import config, tracking
from mlops_lib.cli.app import app as cli
from mlops_lib.columns.schema import Column, Schema
from mlops_lib.comparison.in_service import compare_in_service
from mlops_lib.errors import DataError, EvaluationError
from mlops_lib.monitoring.prediction_log import STAMP
from mlops_lib.registry import MODEL_DIGEST_TAG, Registry
from mlops_lib.wrappers.interface import COLUMNS_KEY, OUTPUTS_KEY
from serving.operations.records import write_table
from tests.support.toy_service import Caller, Toy, toy_service
from tests.support.waiting import until_async

REGRESSION = {"evaluation.task": "regression", "evaluation.metric": "mae", "evaluation.gate.resamples": 300}
TEXT = {"evaluation.task": "text", "evaluation.metric": "exact_match", "evaluation.gate.resamples": 300}
NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


class Off(Toy):
    """Doubles `x` as `Toy` does, but is off by `by`."""

    def __init__(self, by: float) -> None:
        super().__init__(waits=False)
        self.by = by

    def _answer(self, rows):
        return [value + self.by for value in super()._answer(rows)]


def in_service(folder, champion, challenger, requests: list, outcome) -> None:
    """Send requests and, for each row with an `outcome`, feedback. `folder`/log has the records afterwards."""

    async def main():
        async with toy_service(folder, champion, challenger=challenger, prediction_log="log") as app:
            for at, rows in enumerate(requests):
                sent = await Caller(app, "/predict", {"inputs": rows}, x_request_id=f"request-{at}")()
                assert sent.status == 200, sent.body
                for row, values in enumerate(rows):
                    if (found := outcome(values)) is not None:
                        body = {"request_id": f"request-{at}", "row": row, "outcome": found}
                        assert (await Caller(app, "/feedback", body)()).status == 202
            mirror = app.state.service.predictor.mirror
            await until_async(lambda: not mirror._in_flight, "all requests are mirrored")

    asyncio.run(main())


def report(folder, overrides, **more):
    return compare_in_service(config.load(folder / "config.yaml", overrides), folder / "log", **more)


@pytest.mark.parametrize(
    ("champion", "challenger", "outcome"),
    [(1.0, 0.5, "better"), (0.5, 1.0, "worse"), (1.0, 1.0, "not_worse")],
)
def test_the_challenger_is_judged_by_the_feedback(tmp_path, champion, challenger, outcome):
    """Forty requests of two rows; every fourth row gets no outcome, and one gets a text, which is no number."""
    requests = [[{"x": float(at)}, {"x": at + 0.5}] for at in range(40)]

    def truth(row):
        if row["x"] == 7.0:
            return "seven"
        return None if row["x"] % 2 == 0.5 else row["x"] * 2

    in_service(tmp_path, Off(champion), Off(challenger), requests, truth)
    found = report(tmp_path, REGRESSION)
    (against,) = found.against
    assert against.outcome == outcome
    assert (found.reference.version, against.side.version) == (1, 2)
    assert (found.rows, found.entities) == (59, 40), "rows of one request stay together"
    assert found.left_out == {"rows without feedback": 20, "rows whose outcome is no number": 1}
    (mae,) = [c for c in against.comparisons if c.metric == "mae"]
    assert (mae.champion, mae.challenger) == pytest.approx((champion, challenger))
    assert found.agreement.rows == 80 and found.agreement.largest == pytest.approx(abs(champion - challenger))
    assert found.reference.latency_ms > 0 and against.side.latency_ms > 0


def test_rows_that_the_challenger_fails_on_count_as_the_worst(tmp_path):
    """A perfect challenger that fails on a tenth of the rows is not better than a champion that is off by a little."""
    requests = [[{"x": 666.0 if at % 10 == 0 else at / 100}] for at in range(60)]

    class Patient(Off):
        def _answer(self, rows):
            return [row["x"] * 2 + self.by for row in rows]

    in_service(tmp_path, Patient(0.1), Toy(False), requests, lambda row: row["x"] * 2)
    found = report(tmp_path, REGRESSION)
    (against,) = found.against
    assert (found.rows, against.side.failed, against.changed) == (60, 6, 60)
    assert any("failed on 6 of 60 requests" in note for note in found.notes)
    (mae,) = [c for c in against.comparisons if c.metric == "mae"]
    assert mae.challenger == pytest.approx(0.1 * 6 / 60), "off by the largest error of either"


@pytest.mark.parametrize(
    ("task", "metric", "truth"), [("multilabel", "micro_f1", "a"), ("multioutput", "mean_r2", "a 1, b 0")]
)
def test_several_labels_are_compared(tmp_path, blank_store, task, metric, truth):
    """The challenger is further off on one of two requests. Versions with the labels in another order are refused."""

    class Pair(Off):
        def _answer(self, rows):
            return [[0.9, self.by * row["x"]] for row in rows]

    requests = [[{"x": 0.0}], [{"x": 1.0}]]
    in_service(tmp_path, Pair(0.3), Pair(0.6), requests, lambda row: [1, 0] if row["x"] else [0, 1])
    shutil.copy(blank_store, tmp_path / "mlflow.db")
    chosen = {"evaluation.task": task, "evaluation.metric": metric}
    client = tracking.connect(config.load(tmp_path / "config.yaml", chosen))
    client.create_registered_model("toy")

    def save(folder, labels):
        columns = tuple(Column(name, "number", role="label") for name in labels)
        Model(metadata={COLUMNS_KEY: Schema(columns).to_dict()}).save(folder / "MLmodel")

    folders = [tmp_path / "1", tmp_path / "2"]
    for folder in folders:
        folder.mkdir()
        save(folder, "ab")
        client.create_model_version("toy", folder.as_uri())
    found = report(tmp_path, chosen)
    (row,) = found.changed_rows
    assert (row.truth, row.predictions) == (truth, ("a 0.9, b 0.3", "a 0.9, b 0.6"))
    assert row.change == pytest.approx(-0.15)

    save(folders[1], "ba")
    with pytest.raises(DataError, match=r"has the labels \['a', 'b'\], and .* has \['b', 'a'\]"):
        report(tmp_path, chosen)


def test_labels_of_different_kinds_are_compared_by_the_one_that_decides(tmp_path, blank_store):
    """Its classes are 0 and 1, or as many numbers as its output has probabilities; a version without this output is refused."""

    class Heads(Off):
        def _answer(self, rows):
            return [{"buys": 0.4 + self.by, "spent": row["x"] + self.by} for row in rows]

    requests = [[{"x": 0.0}], [{"x": 1.0}]]
    in_service(tmp_path, Heads(0.05), Heads(0.2), requests, lambda row: bool(row["x"]))
    shutil.copy(blank_store, tmp_path / "mlflow.db")
    chosen = {
        "data.label": ["buys", "spent"],
        "evaluation.task": "classification",
        "evaluation.metric": "accuracy",
        "evaluation.output": "buys",
        "evaluation.heads": {"spent": "regression"},
    }
    client = tracking.connect(config.load(tmp_path / "config.yaml", chosen))
    client.create_registered_model("toy")

    def save(folder, output):
        outputs = [
            {"name": output, "dtype": "float32", "shape": []},
            {"name": "spent", "dtype": "float32", "shape": []},
        ]
        Model(metadata={OUTPUTS_KEY: outputs}).save(folder / "MLmodel")

    folders = [tmp_path / "1", tmp_path / "2"]
    for folder in folders:
        folder.mkdir()
        save(folder, "buys")
        client.create_model_version("toy", folder.as_uri())
    found = report(tmp_path, chosen)
    assert (found.rows, found.agreement.rows, found.agreement.different) == (2, 2, 2), "0.45 and 0.6"
    (accuracy,) = [one for one in found.against[0].comparisons if one.metric == "accuracy"]
    assert (accuracy.champion, accuracy.challenger) == (0.5, 0.5)

    save(folders[1], "bought")
    with pytest.raises(DataError, match="has no output 'buys' with classes"):
        report(tmp_path, chosen)


def test_the_last_feedback_counts_and_the_report_says_so(tmp_path):
    """One outcome is corrected, and one is sent for the whole request."""
    in_service(tmp_path, Off(1.0), Off(2.0), [[{"x": 1.0}], [{"x": 2.0}]], lambda row: row["x"] * 2)
    later = NOW + timedelta(days=300)
    rows = [
        {
            "time": int(later.timestamp() * 1e6),
            "request_id": "request-0",
            "key": None,
            "row": None,
            "outcome": "9.0",
        },
        {
            "time": int(later.timestamp() * 1e6),
            "request_id": "request-9",
            "key": None,
            "row": 0,
            "outcome": "1.0",
        },
    ]
    write_table(tmp_path / "log" / f"feedback-{later.strftime(STAMP)}-1-abc.parquet", rows)
    found = report(tmp_path, REGRESSION)
    assert any("1 rows have feedback more than once: the last one counts" in note for note in found.notes)
    assert {row.id: row.truth for row in found.changed_rows} == {"request-0:0": "9.0", "request-1:0": "4.0"}


def test_without_feedback_the_report_has_agreement_and_latency_alone(tmp_path):
    in_service(tmp_path, Off(1.0), Off(3.0), [[{"x": float(at)}] for at in range(5)], lambda row: None)
    (tmp_path / "config.yaml").write_text(
        (tmp_path / "config.yaml")
        .read_text()
        .replace("threshold: 0.0", "threshold: 9.0\n  task: regression\n  metric: mae")
    )
    shown = CliRunner().invoke(cli, ["compare", "--log", "--config", str(tmp_path / "config.yaml")])
    assert shown.exit_code == 0, shown.output
    text = " ".join(shown.output.split())
    assert "which version is better is unknown" in text and "Left out: 5 requests without feedback" in text
    assert "the predictions of 5 of 5 rows (100.0%) differ; the largest difference is 2" in text
    strict = CliRunner().invoke(
        cli, ["compare", "--log", "--fail-unless", "not_worse", "--config", str(tmp_path / "config.yaml")]
    )
    assert strict.exit_code == 3, "unknown is not not worse"


def record(at: int, role: str, version: int, prediction, **more) -> dict:
    """A row of the log, `at` seconds after `NOW`."""
    row = {
        "time": int(NOW.timestamp() * 1e6) + at * 1_000_000, "request_id": f"r{at}", "key": None, "role": role,
        "model": "toy", "version": version, "run_id": f"run {version}", "model_digest": f"d{version}",
        "latency_ms": 1.0, "request": json.dumps([{"question": f"question {at}", "user": at % 7}]), "features": None,
        "freshness": None, "predictions": json.dumps([prediction]), "finished": True, "error": None,
    }  # fmt: skip
    return row | more


def write_log(folder, predictions, feedback):
    """A log with one file of each kind, and the config of a project beside it."""
    (folder / "config.yaml").write_text(
        "data: {source: rows.csv, label: y, key: user}\nmodel: {name: toy}\nevaluation: {threshold: 0.0}\n"
        "mlflow: {tracking_uri: 'sqlite:///mlflow.db'}\n"
    )
    written = (NOW + timedelta(hours=1)).strftime(STAMP)
    write_table(folder / "log" / f"predictions-{written}-1-a.parquet", predictions)
    rows = [
        {
            "time": row["time"],
            "request_id": row["request_id"],
            "key": row["key"],
            "row": 0,
            "outcome": json.dumps(value),
        }
        for row, value in feedback
    ]
    write_table(folder / "log" / f"feedback-{written}-1-a.parquet", rows)


def test_korean_answers_are_judged_by_corrected_answers(tmp_path):
    """The corrected answer is the reference; thumbs are none. Rows of one user stay together."""
    both = [
        (record(at, "champion", 1, "배송은 삼 일 걸립니다"), record(at, "mirror", 2, "배송은 이틀 걸립니다"))
        for at in range(30)
    ]
    sent = [(champion, "배송은 이틀 걸립니다" if at % 3 else True) for at, (champion, _) in enumerate(both)]
    write_log(tmp_path, [row for pair in both for row in pair], sent)
    found = report(tmp_path, TEXT)
    (against,) = found.against
    assert (against.outcome, found.rows, found.entities) == ("better", 20, 7)
    assert found.left_out == {"rows whose outcome is no text, so no reference answer": 10}
    assert {c.metric for c in against.comparisons} >= {"exact_match", "chrf"}
    assert "question" in found.changed_rows[0].input


def test_metrics_of_columns_that_no_request_has_are_left_out(tmp_path):
    """Expected tools are in the golden data alone: the report names their metric, and judges by the others."""
    both = [(record(at, "champion", 1, "삼 일"), record(at, "mirror", 2, "이틀")) for at in range(20)]
    sent = [(champion, "이틀") for champion, _ in both]
    write_log(tmp_path, [row for pair in both for row in pair], sent)
    of_tools = {"tool_calls_any_order": 0.5}
    for more in (
        {"evaluation.metrics": ["exact_match", "tool_calls_any_order"]},
        {"evaluation.metrics": ["exact_match"], "evaluation.gate.thresholds": of_tools},
        {
            "evaluation.metrics": ["exact_match"],
            "evaluation.gate.slice_thresholds": of_tools,
            "evaluation.gate.slices": {"user": "all"},
        },
        {"evaluation.metrics": ["exact_match"], "evaluation.gate.margins": of_tools},
    ):
        found = report(tmp_path, TEXT | more)
        (against,) = found.against
        assert against.outcome == "better" and {c.metric for c in against.comparisons} == {"exact_match"}
        assert any("a request lacks: tool_calls_any_order." in note for note in found.notes)
    with pytest.raises(EvaluationError, match="evaluation.metric tool_calls_any_order needs columns"):
        report(tmp_path, TEXT | {"evaluation.metric": "tool_calls_any_order"})


def test_requests_that_cannot_be_paired_are_left_out_and_counted(tmp_path):
    """The latest pair of versions is compared; every other record has its reason."""
    predictions = []
    for at in range(30):
        predictions += [record(at, "champion", 1, 1.0), record(at, "mirror", 2 if at < 10 else 3, 2.0)]
    predictions += [
        record(13, "champion", 1, 1.0), record(20, "challenger", 3, 1.0, request_id="canary"),
        record(20, "champion", 1, 1.0, request_id="alone"), record(20, "mirror", 3, 1.0, request_id="lost"),
        record(21, "champion", 1, 1.0, request_id="broken", finished=False), record(21, "mirror", 3, 1.0, request_id="broken"),
        record(22, "champion", 1, [1.0, 2.0], request_id="many", predictions="[1.0, 2.0]"),
        record(22, "mirror", 3, 1.0, request_id="many"),
        record(23, "champion", 1, 1.0, request_id="shared", key="shop"), record(23, "mirror", 3, 2.0, request_id="shared", key="shop"),
        record(24, "champion", 1, 1.0, request_id="shared", key="web"), record(24, "mirror", 3, 2.0, request_id="shared", key="web"),
    ]  # fmt: skip
    write_log(tmp_path, predictions, [(row, 1.0) for row in predictions if row["key"] != "web"])
    found = report(tmp_path, REGRESSION)
    assert (found.reference.version, found.against[0].side.version) == (1, 3)
    assert found.left_out == {
        "requests with an answer that is not one prediction for each row": 1, "requests without feedback": 1,
        "answered by other versions": 10, "request id used more than once": 1, "unfinished": 1, "not mirrored": 1,
        "no record of the champion": 1, "answered by the challenger as a canary": 1,
    }  # fmt: skip
    assert found.rows == 20, "19 of the loop, and the one of the two callers who use the same request id"
    later = report(tmp_path, REGRESSION, since=NOW + timedelta(seconds=25))
    assert later.rows == 5 and "answered by other versions" not in later.left_out


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("request", None, "a record of request 'r0' whose request is missing"),
        ("request", "{", "a record of request 'r0' whose request is no JSON"),
        ("predictions", "[1.0", "a record of request 'r0' whose predictions is no JSON"),
    ],
)
def test_a_record_that_is_no_json_is_named(tmp_path, column, value, words):
    """The service writes JSON: another text is an altered log, and no comparison is made of the rest."""
    both = [row for at in range(9) for row in (record(at, "champion", 1, 1.0), record(at, "mirror", 2, 2.0))]
    sent = [(row, 1.0) for row in both if row["role"] == "champion"]
    write_log(tmp_path, [both[0] | {column: value}, *both[1:]], sent)
    with pytest.raises(DataError, match=re.escape(words)):
        report(tmp_path, REGRESSION)


def test_an_outcome_that_is_no_json_is_named(tmp_path):
    both = [row for at in range(9) for row in (record(at, "champion", 1, 1.0), record(at, "mirror", 2, 2.0))]
    write_log(tmp_path, both, [(both[0], 1.0)])
    (file,) = (tmp_path / "log").glob("feedback-*.parquet")
    rows = pq.read_table(file).to_pylist()
    file.unlink()
    write_table(file, [row | {"outcome": "{oops"} for row in rows])
    with pytest.raises(DataError, match="request 'r0' whose outcome is no JSON .*: {oops"):
        report(tmp_path, REGRESSION)


def test_a_log_that_was_copied_beside_itself_says_so(tmp_path):
    """Each request id is there twice; and a challenger that is the champion is no challenger."""
    both = [row for at in range(9) for row in (record(at, "champion", 1, 1.0), record(at, "mirror", 2, 2.0))]
    write_log(tmp_path, both + both, [(both[0], 1.0)])
    with pytest.raises(DataError, match="9 request ids are there more than once"):
        report(tmp_path, REGRESSION)
    shutil.rmtree(tmp_path / "log")
    write_log(tmp_path, [row | {"version": 1, "model_digest": "d1"} for row in both], [(both[0], 1.0)])
    with pytest.raises(DataError, match="9 requests were answered by the same version twice"):
        report(tmp_path, REGRESSION)


def test_a_log_without_a_challenger_is_an_error_that_says_what_to_do(tmp_path):
    write_log(tmp_path, [record(at, "champion", 1, 1.0) for at in range(3)], [(record(0, "", 1, 1), 1.0)])
    with pytest.raises(DataError, match="3 of the champion, 0 of the mirror.*alias serving.challenger"):
        report(tmp_path, REGRESSION)


@pytest.mark.slow
def test_a_classifiers_classes_come_from_the_version_that_answered(buyers):
    """P(yes) of both versions against yes and no. A version whose number was given to another model is an error."""
    digests = {
        v.version: v.tags[MODEL_DIGEST_TAG] for v in Registry(buyers).versions("buyers") if v.version < 3
    }
    predictions = []
    for at in range(40):
        truth = at % 2
        for role, version, p in (("champion", 1, 0.4 + 0.1 * truth), ("mirror", 2, 0.1 + 0.8 * truth)):
            predictions.append(
                record(at, role, version, p, model="buyers", model_digest=digests[version],
                       request=json.dumps([{"user_id": at, "visits": 1.0}]))
            )  # fmt: skip
    written = (NOW + timedelta(hours=1)).strftime(STAMP)
    log = buyers.root / "log"
    write_table(log / f"predictions-{written}-1-a.parquet", predictions)
    sent = [
        {
            "time": row["time"],
            "request_id": row["request_id"],
            "key": None,
            "row": None,
            "outcome": json.dumps(outcome),
        }
        for at, row in enumerate(predictions[::2])
        for outcome in [("no", "yes")[at % 2] if at else "perhaps"]
    ]
    write_table(log / f"feedback-{written}-1-a.parquet", sent)
    found = compare_in_service(buyers, log)
    assert (found.rows, found.entities) == (39, 39)
    assert found.left_out == {"rows whose outcome is none of the classes 'no', 'yes'": 1}
    assert {c.metric: c.outcome for c in found.against[0].comparisons}["log_loss"] == "better"
    write_table(
        log / f"predictions-{written}-1-b.parquet",
        [
            row | {"request_id": "x", "model_digest": "0" * 64, "time": row["time"] + 10**9}
            for row in predictions[:2]
        ],
    )
    with pytest.raises(DataError, match="is not the model that answered.*its name used again"):
        compare_in_service(buyers, log)

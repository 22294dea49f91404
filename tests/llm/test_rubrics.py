"""Judges by rubric, against a server of the vendors' protocols: strict replies, repeats, agreement, prices."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import pytest

from mlops_lib import config, loaders, wrappers
from mlops_lib.errors import ConfigError, DataError, EvaluationError
from mlops_lib.evaluation.report import EvaluationReport
from mlops_lib.evaluation.tasks.text import Text
from mlops_lib.llm import json_replies
from mlops_lib.settings import Settings
from mlops_lib.wrappers.interface import ModelWrapper
from tests.support.llm_fixtures import Vendor

pytestmark = pytest.mark.slow

SCALE = {1: "rude", 2: "cold", 3: "polite"}


@pytest.mark.parametrize(
    ("text", "score"),
    [
        ('{"score": 1}', 1), ('```json\n{"score": 2}\n```', 2), ('Here it is:\n\n```\n{"score": 3}\n```\nGood luck!', 3),
        ('```json\n{"score": 4, "reason": "it has ```\\n``` in it"}\n```', 4), ("```json\n[1]\n```", None),
        ('```json\n{"score": 1}\n```\nor\n```json\n{"score": 2}\n```', None), ("Score: 5", None), ("", None),
    ],
)  # fmt: skip
def test_a_reply_may_have_its_json_between_fences(text: str, score: int | None) -> None:
    """Models without a response format answer so. Two blocks are no answer."""
    assert json_replies.read(text).get("score") == score


@pytest.fixture(autouse=True)
def _no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Text, "figures", lambda *_: {})


@pytest.fixture
def judged(
    llm_project: Callable[..., Path],
) -> Callable[..., tuple[EvaluationReport, ModelWrapper, Settings]]:
    """Evaluates a model of four rows with the rubric ``politeness``; `people` are the scores of people."""

    def evaluate(
        rubric: dict[str, Any] | None = None, people: list[Any] | None = None, **evaluation: Any
    ) -> tuple[EvaluationReport, ModelWrapper, Settings]:
        politeness = {"prompt": "How polite is the answer?", "scale": SCALE, "judge": "openai:judge"} | (
            rubric or {}
        )
        chosen = {"rubrics": {"politeness": politeness}, "metrics": ["politeness"], "metric": "exact_match"}
        file = llm_project(
            data={"source": "all.jsonl", "test_fraction": 1.0, "reference_columns": ["people", "tone"]},
            evaluation=chosen | evaluation,
        )
        rows = [
            {
                "id": str(i),
                "question": f"Q{i}",
                "reference": f"Answer to: Q{i}",
                "people": score,
                "tone": "warm",
            }
            for i, score in enumerate(people or [1, 2, 3, None])
        ]
        (file.parent / "all.jsonl").write_text("\n".join(map(json.dumps, rows)))
        settings = config.load(file)
        data = loaders.from_settings(settings)
        model = wrappers.from_settings(settings)
        model.train(data, settings)
        return model.evaluate(data, settings), model, settings

    return evaluate


def test_a_path_before_a_column_is_an_error_before_any_call(
    vendor: Vendor, judged: Callable[..., Any]
) -> None:
    """Its writer may want the column's value, as in a prompt of the model."""
    with pytest.raises(
        DataError, match=r"evaluation.rubrics.politeness.prompt has :\\{{tone}}: .* Write two backslashes"
    ):
        judged({"prompt": r"Is it as C:\{{tone}} says?"})
    assert vendor.stats["calls"] == 0


def reply(score: Any) -> str:
    return json.dumps({"reason": "because", "score": score})


def test_a_rubric_is_a_metric_with_its_scale(vendor: Vendor, judged: Callable[..., Any]) -> None:
    """The judge gets rubric, scale, example and case, and answers in a schema that has the scale's scores alone."""
    vendor.control(verdicts=[reply(2)])
    example = {"question": "Hi?", "answer": "Go away.", "score": 1, "reason": "rude"}
    rubric = {"examples": [example], "temperature": 0.5, "max_tokens": 77}
    report, _, settings = judged(rubric)
    assert (
        report.metrics["politeness"].value == 2.0 and settings.evaluation.rubrics["politeness"].scale == SCALE
    )
    assert set(report.per_row["politeness: reason"]) == {"because"}
    asked = next(body for body in vendor.stats["bodies"] if body["model"] == "judge")
    schema = asked["response_format"]["json_schema"]
    assert schema["strict"] and schema["schema"]["properties"]["score"]["enum"] == [1, 2, 3]
    assert asked["temperature"] == 0.5 and 77 in (asked.get("max_tokens"), asked.get("max_completion_tokens"))
    system, user = (message["content"] for message in asked["messages"])
    assert "3: polite" in system and "Go away." in system and '"score": 1' in system
    assert user.startswith("How polite is the answer?\n\n<question>\nQ") and "<answer>\nAnswer to: Q" in user


@pytest.mark.parametrize(
    "wrong", [reply(4), reply("2"), reply(True), reply(2.0), reply(None), "2", "Score: 2", "[2]", "{}"]
)
def test_a_reply_that_is_no_score_is_an_error_of_the_row(
    vendor: Vendor, judged: Callable[..., Any], wrong: str
) -> None:
    """One bad reply in four is counted and lowers the score to the worst; nothing is guessed."""
    vendor.control(verdicts=[reply(3), wrong, reply(3), reply(3)])
    report, _, _ = judged(concurrency=1)
    score = report.metrics["politeness"]
    assert (score.scored, score.errored, score.value) == (3, 1, 2.5)
    assert "no score of the scale [1, 2, 3]" in report.per_row["error"][1]


def test_a_judge_that_never_answers_ends_with_cause_and_count(
    vendor: Vendor, judged: Callable[..., Any]
) -> None:
    """No run passes on a judge that failed on all rows."""
    vendor.control(verdicts=["I would rather not."])
    with pytest.raises(
        EvaluationError, match=r"4 of 4 rows failed: the judge's reply is no score .*rather not"
    ):
        judged()


def test_repeats_show_their_spread_and_replay(vendor: Vendor, judged: Callable[..., Any]) -> None:
    """Three samples a row, recorded and replayed as three; the table shows how far they are apart."""
    vendor.control(verdicts=[reply(1), reply(2), reply(3)])
    report, model, settings = judged({"repeats": 3, "temperature": 1.0}, concurrency=1)
    assert report.metrics["politeness"].value == 2.0
    assert [sorted(scores) for scores in report.per_row["politeness: scores"]] == [[1, 2, 3]] * 4
    (spread,) = report.tables["politeness: 3 scores for each row"].to_dict("records")
    assert (spread["rows"], spread["all scores equal"], spread["mean range"]) == (4, 0, 2.0)
    vendor.control()
    chosen = settings.evaluation.model_copy(update={"replay": model.run_id})
    again = model.evaluate(
        loaders.from_settings(settings), settings.model_copy(update={"evaluation": chosen})
    )
    assert again.per_row.equals(report.per_row) and vendor.stats["calls"] == 0


def test_agreement_with_people_counts_the_rows_that_have_a_label(
    vendor: Vendor, judged: Callable[..., Any]
) -> None:
    """Three of four rows have one; a label beside the scale is an error with row and value, before anything is paid."""
    vendor.control(verdicts=[reply(1), reply(2), reply(2), reply(3)])
    report, _, _ = judged({"people": "people"}, concurrency=1)
    (title,) = [title for title in report.tables if "agreement" in title]
    assert title == "politeness: agreement of openai:judge with people, 3 of 4 rows"
    table = report.tables[title].set_index("measure")
    assert table["value"]["same score"] == pytest.approx(2 / 3) and table["rows"]["Spearman"] == 3
    for wrong in (9, 2.5, "good"):
        vendor.control()
        with pytest.raises(
            EvaluationError,
            match=rf"Row 1 \(counted from 0\) has people {wrong!r}, which is not on",
        ):
            judged({"people": "people"}, [1, wrong, 3, 3], concurrency=1)
        assert vendor.stats["calls"] == 0


def test_the_prompt_may_name_columns(vendor: Vendor, judged: Callable[..., Any]) -> None:
    """Columns of the reference are filled in; one that the data lacks is an error before any call."""
    report, _, _ = judged({"prompt": "Is {{answer}} {{tone}}? See {{reference}}."})
    asked = next(body for body in vendor.stats["bodies"] if body["model"] == "judge")
    assert (
        "<tone>\nwarm\n</tone>" in asked["messages"][1]["content"]
        and report.metrics["politeness"].value == 1.0
    )
    vendor.control()
    with pytest.raises(DataError, match="politeness needs the column 'question' of the reference"):
        judged({"people": "question"})  # a feature
    with pytest.raises(DataError, match="politeness needs the column 'mood'"):
        judged({"prompt": "Is {{answer}} {{mood}}?"})
    assert vendor.stats["calls"] == 0


def test_claude_judges_in_its_own_form(vendor: Vendor, judged: Callable[..., Any]) -> None:
    """The schema reaches Anthropic's protocol too."""
    report, _, _ = judged({"judge": "anthropic:claude-sonnet-4-5"})
    assert report.metrics["politeness"].value == 1.0 and report.metrics["politeness"].errored == 0


def test_a_judge_without_a_price_is_named_before_money_is_spent(
    vendor: Vendor, judged: Callable[..., Any]
) -> None:
    """With limited money no call is made; without a limit the report says how many calls have no price."""
    with pytest.raises(
        EvaluationError, match=r"politeness asks 'openai:judge', for which llm.prices has no price"
    ):
        judged(max_cost_usd=1.0)
    assert vendor.stats["calls"] == 0
    report, _, _ = judged()
    assert "8 calls without a price in llm.prices" in report.notes["calls"]


def test_a_spent_budget_is_in_the_verdict_of_a_model_that_passes(
    vendor: Vendor, judged: Callable[..., Any]
) -> None:
    """Few rows may be enough to pass; the verdict says that the evaluation is partial."""
    report, _, _ = judged(
        max_calls=3, min_coverage=0.25, threshold=0.2, concurrency=1, metrics=["exact_match"]
    )
    assert report.verdict.passed and "evaluation.max_calls 3 is spent" in report.verdict.note
    assert "partial" in report.notes["partial"]


def test_a_failed_evaluation_keeps_its_costs(
    vendor: Vendor, judged: Callable[..., Any], tmp_path: Path
) -> None:
    """The evaluation after a failed one reuses its calls; what the first one cost stays on the run."""
    vendor.control(verdicts=["no"])
    with pytest.raises(EvaluationError, match="4 of 4"):
        judged(concurrency=1)
    settings = config.load(tmp_path / "config.yaml")
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name("test")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.data.metrics["test.llm.calls"] == 8
    vendor.control(verdicts=[reply(3)])
    model = wrappers.load(wrappers.uri_of_run(run.info.run_id))
    chosen = settings.evaluation.model_copy(update={"metrics": ("exact_match",)})
    model.evaluate(loaders.from_settings(settings), settings.model_copy(update={"evaluation": chosen}))
    metrics = client.get_run(run.info.run_id).data.metrics
    assert (
        metrics["test.llm.calls"],
        metrics["test.llm.again.calls"],
        metrics["test.llm.again.calls_reused"],
    ) == (8, 0, 4)


@pytest.mark.parametrize(
    ("rubrics", "says"),
    [
        ({"rouge_l": {"prompt": "x", "scale": SCALE}}, "no metric of the platform has"),
        ({"a b": {"prompt": "x", "scale": SCALE}}, "give the rubric a name"),
        ({"p": {"prompt": "x", "scale": {1: "one"}}}, "at least two scores"),
        (
            {"p": {"prompt": "x", "scale": SCALE, "examples": [{"answer": "a", "score": 9}]}},
            "score 9; the scale has",
        ),
        ({"p": {"prompt": "x", "scale": SCALE, "repeat": 2}}, "repeat"),
    ],
)
def test_a_rubric_that_cannot_be_used_is_named_at_once(
    llm_project: Callable[..., Path], rubrics: dict[str, Any], says: str
) -> None:
    """Names, scales, examples and unknown keys; a threshold beyond the scale and a judge that is not there, too."""
    with pytest.raises(ConfigError, match=says):
        config.load(llm_project(evaluation={"rubrics": rubrics}))
    kind = {"rubrics": {"kind": {"prompt": "x", "scale": SCALE}}, "metric": "kind"}
    with pytest.raises(ConfigError, match="the scale of kind is 1 to 3"):
        config.load(llm_project(evaluation={**kind, "threshold": 4}))
    settings = config.load(llm_project(evaluation={**kind, "threshold": 2}))
    with pytest.raises(EvaluationError, match="The rubric kind needs a judge"):
        Text(settings)

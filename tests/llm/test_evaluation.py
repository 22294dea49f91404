"""An LLM model from packaging to the gate, against a server that fails on demand."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest

from mlops_lib import config, loaders, registry, wrappers
from mlops_lib.errors import (
    ConfigError,
    DataError,
    EvaluationError,
    InputError,
    MlopsError,
    ModelError,
    RegistryError,
    TrainingError,
)
from mlops_lib.evaluation.report import EvaluationReport
from mlops_lib.evaluation.tasks.text import Text
from mlops_lib.llm.prompt_fields import fields
from mlops_lib.loaders.formats.data_file import data_file
from mlops_lib.loaders.rows import Rows
from mlops_lib.settings import Settings
from mlops_lib.settings.gate import GateSettings
from mlops_lib.training import llm_comparison
from mlops_lib.wrappers.interface import ModelWrapper
from mlops_lib.wrappers.llm import fill
from tests.support.llm_fixtures import KEY, Vendor, files_with
from tests.support.promoting import promote

Project = Callable[..., Path]
DRAW = Text.figures


@pytest.fixture(autouse=True)
def _no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw nothing: a figure takes as long as the rest of an evaluation, and one test is enough for it."""
    monkeypatch.setattr(Text, "figures", lambda *_: {})


def trained(file: Path) -> tuple[Settings, ModelWrapper]:
    settings = config.load(file)
    model = wrappers.from_settings(settings)
    model.train(loaders.from_settings(settings), settings)
    return settings, model


def judged(settings: Settings, model: ModelWrapper, **evaluation: Any) -> EvaluationReport:
    chosen = settings.evaluation.model_copy(update=evaluation)
    settings = settings.model_copy(update={"evaluation": chosen})
    return model.evaluate(loaders.from_settings(settings), settings)


@pytest.mark.slow
def test_faults_that_pass_cost_no_coverage(vendor: Vendor, llm_project: Project) -> None:
    """With a tenth of the calls failing once, every row is scored and the gate lets the model pass."""
    settings, model = trained(llm_project(rows=100))
    vendor.control(
        faults=[{"kind": "429", "share": 0.05, "times": 1}, {"kind": "500", "share": 0.1, "times": 1}]
    )
    report = judged(settings, model)
    assert vendor.stats["calls"] > 100
    assert report.metrics["exact_match"].coverage == 1.0 and report.metrics["exact_match"].value == 1.0
    assert report.verdict is not None and report.verdict.passed


@pytest.mark.slow
def test_the_gate_refuses_a_model_with_lasting_faults(vendor: Vendor, llm_project: Project) -> None:
    """Rows that fail for good count as errors, lower the score, are in the table, and fail the gate."""
    settings, model = trained(llm_project(rows=100))
    vendor.control(faults=[{"kind": "400", "share": 0.1, "times": -1}])
    report = judged(settings, model)
    score = report.metrics["exact_match"]
    assert (
        0 < score.errored < 30 and score.scored == 100 - score.errored and score.value == score.scored / 100
    )
    assert report.table().loc["errored", "exact_match"] == score.errored
    assert (report.per_row["error"] != "").sum() == score.errored
    assert report.verdict is not None and not report.verdict.passed
    assert "errored" in report.verdict.reasons[0]
    with pytest.raises(RegistryError, match="not passed the gate"):
        registry.register_run(settings, model.run_id)


@pytest.mark.slow
def test_a_lower_coverage_may_be_allowed(vendor: Vendor, llm_project: Project) -> None:
    """With a lower min_coverage some rows may fail; they still count as wrong."""
    settings, model = trained(llm_project(rows=100))
    vendor.control(faults=[{"kind": "400", "share": 0.1, "times": -1}])
    verdict = judged(settings, model, min_coverage=0.7).verdict
    assert verdict is not None and verdict.passed and verdict.score is not None and verdict.score < 1


@pytest.mark.slow
def test_concurrency_is_the_configured_one(vendor: Vendor, llm_project: Project) -> None:
    """As many rows are in work at once as configured and never more; the answers are in the order of the rows."""
    settings, model = trained(llm_project(rows=40))
    vendor.control(delay_s=0.1)
    report = judged(settings, model, concurrency=5)
    assert vendor.stats["most"] == 5
    assert list(report.per_row["output"]) == list(report.per_row["reference"])


@pytest.mark.slow
def test_a_budget_ends_the_evaluation_cleanly(vendor: Vendor, llm_project: Project) -> None:
    """A spent budget leaves a run that is marked partial, with the answers so far, and the gate refuses it."""
    settings, model = trained(llm_project(rows=30))
    vendor.control(delay_s=0.02)
    report = judged(settings, model, max_calls=7)
    assert vendor.stats["calls"] == 7
    assert report.metrics["exact_match"].scored == 7 and report.metrics["exact_match"].errored == 23
    assert "partial" in report.notes and report.verdict is not None and not report.verdict.passed
    assert "max_calls" in mlflow.MlflowClient().get_run(model.run_id).data.tags["mlops.partial"]
    again = judged(settings, model, replay=model.run_id)
    assert again.metrics == report.metrics


@pytest.mark.slow
def test_an_unchanged_evaluation_costs_no_calls(vendor: Vendor, llm_project: Project) -> None:
    """Evaluated again, also as a new run, an unchanged model makes no call; with `reuse: false` it does."""
    file = llm_project()
    settings, model = trained(file)
    first = judged(settings, model)
    vendor.control()
    assert judged(settings, model).per_row.equals(first.per_row)
    _, retrained = trained(file)
    assert judged(settings, retrained).per_row.equals(first.per_row)
    assert vendor.stats["calls"] == 0
    judged(settings, model, reuse=False)
    assert vendor.stats["calls"] == 20


@pytest.mark.slow
def test_a_replay_needs_neither_network_nor_key(
    vendor: Vendor, llm_project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The replay of a run with errors in it gives the same rows and scores, latency and cost included."""
    settings, model = trained(llm_project(rows=40))
    vendor.control(faults=[{"kind": "400", "share": 0.2, "times": -1}])
    report = judged(settings, model, min_coverage=0.5)
    assert report.verdict is not None and report.verdict.passed
    vendor.control()
    monkeypatch.delenv("OPENAI_API_KEY")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    fresh = wrappers.load(wrappers.uri_of_run(model.run_id))
    again = judged(settings, fresh, replay=model.run_id)
    assert report.metrics["exact_match"].errored > 0
    assert again.metrics == report.metrics and again.per_row.equals(report.per_row)
    assert vendor.stats["calls"] == 0
    # A replay under other conditions shows; it does not take back what the gate has said.
    assert again.verdict is not None and not again.verdict.passed
    assert mlflow.MlflowClient().get_run(model.run_id).data.tags[registry.GATE_TAG] == "passed"


@pytest.mark.slow
def test_a_replay_of_something_else_is_an_error(vendor: Vendor, llm_project: Project) -> None:
    """A changed prompt makes calls that are not on the cassette: an error that names the prompt."""
    file = llm_project()
    settings, model = trained(file)
    judged(settings, model)
    file.with_name("prompts.yaml").write_text("user: 'Please: {{question}}'\n")
    _, changed = trained(file)
    with pytest.raises(EvaluationError, match=r"20 LLM calls are not on its cassette.*prompts"):
        judged(settings, changed, replay=model.run_id)


@pytest.mark.slow
def test_the_diff_names_what_changed(vendor: Vendor, llm_project: Project) -> None:
    """Rows that differ from the version at Production are listed, and the parts that changed are named.

    A newer version, whose answers are the same, is not at Production.
    """
    file = llm_project(rows=10)
    settings, model = trained(file)
    assert not any("Against" in title for title in judged(settings, model).tables)
    registry.register_run(settings, model.run_id)
    file.with_name("prompts.yaml").write_text("user: 'Please: {{question}}'\n")
    _, changed = trained(file)
    judged(settings, changed)
    registry.Registry(settings).register("toy", changed.run_id, {})
    promote(settings, "toy", 1)
    _, changed = trained(file)
    tables = judged(settings, changed).tables
    diff = tables["Against version 1 (changed: prompts): 10 of 10 rows differ"]
    assert len(diff) == 10 and set(diff["change"]) == {-1.0}
    assert diff["output now"].str.contains("Please").all()


def test_rows_with_the_same_input_are_matched_once() -> None:
    """Three rows of one question are three rows, not nine; one that changed is one."""
    before = pd.DataFrame({"input": ["q"] * 3, "output": ["a", "b", "c"], "error": "", "exact_match": 1.0})
    now = before.assign(output=["a", "b", "d"], exact_match=[1.0, 1.0, 0.0])
    found = llm_comparison.compare_rows(before, now, "exact_match", True)
    assert found[["output before", "output now", "change"]].to_numpy().tolist() == [["c", "d", -1.0]]


def test_rows_that_lost_their_score_come_first_then_the_largest_losses() -> None:
    """Lower is better; a missing score is not the best one of all."""
    before = pd.DataFrame({"input": list("abcd"), "output": "x", "error": "", "ter": [1.0, 1.0, 1.0, 1.0]})
    now = before.assign(ter=[0.5, 3.0, None, 2.0])
    found = llm_comparison.compare_rows(before, now, "ter", False)
    assert found["input"].tolist() == ["c", "b", "d", "a"]
    assert found["change"].isna().tolist() == [True, False, False, False]


def test_another_content_of_the_schema_is_another_judge(llm_project: Project) -> None:
    """The file has the same name, so a replay would report scores by another schema as those of then."""
    file = llm_project(evaluation={"json_schema": "answer.json"})
    settings = config.load(file)
    data = loaders.from_settings(settings)
    found = []
    for content in ("[]", "{}", " {} "):
        (file.parent / "answer.json").write_text(content)
        found.append(llm_comparison.current_digests(settings, "", data)["judge"])
    assert found[0] != found[1] == found[2]


@pytest.mark.slow
def test_each_judged_row_is_logged(
    vendor: Vendor, llm_project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One row for each question: input, output, reference, contexts, scores, latency, tokens, cost, error; a figure."""
    monkeypatch.setattr(Text, "figures", DRAW)
    settings, model = trained(llm_project(rows=3, llm={"prices": {"openai:gpt-test": [1.0, 2.0]}}))
    judged(settings, model)
    path = mlflow.artifacts.download_artifacts(run_id=model.run_id, artifact_path="evaluation/test/rows.json")
    rows = json.loads(Path(path).read_text())
    row = dict(zip(rows["columns"], rows["data"][0], strict=True))
    assert row["output"] == row["reference"] == "Answer to: Question 0?" and row["input"] == "Question 0?"
    assert row["prompt_tokens"] == 10 and row["cost_usd"] == pytest.approx(20e-6) and row["latency_s"] > 0
    assert row["contexts"] == [] and row["error"] == "" and row["exact_match"] == 1.0
    kept = [file.path for file in mlflow.MlflowClient().list_artifacts(model.run_id, "evaluation/test")]
    assert "evaluation/test/score_distributions.png" in kept


@pytest.mark.slow
def test_prompts_get_a_version_when_they_change(vendor: Vendor, llm_project: Project) -> None:
    """MLflow's prompt registry has one version for each text of a prompt, and the run's tags name the version."""
    file = llm_project()
    used = []
    for text in ("user: '{{question}}'", "user: '{{question}}'", "user: 'Please: {{question}}'"):
        file.with_name("prompts.yaml").write_text(text)
        _, model = trained(file)
        used.append(mlflow.MlflowClient().get_run(model.run_id).data.tags["mlops.prompt.user"])
    assert used == ["toy.user/1", "toy.user/1", "toy.user/2"]


@pytest.mark.slow
def test_no_key_is_written_anywhere(vendor: Vendor, llm_project: Project, tmp_path: Path) -> None:
    """Neither store, traces, artifacts nor cassette hold the key, though the provider repeats it in its errors."""
    settings, model = trained(llm_project(llm={"tracing": True}))
    vendor.control(faults=[{"kind": "401", "share": 0.5, "times": -1}])
    report = judged(settings, model)
    assert report.metrics["exact_match"].errored > 0
    with pytest.raises(ModelError, match="Incorrect API key"):
        model.predict([{"question": f"Question {i}?"} for i in range(20)])
    mlflow.flush_trace_async_logging()
    assert files_with(tmp_path, KEY) == [] and files_with(tmp_path, "Incorrect API key provided: ")


@pytest.mark.slow
def test_any_mlflow_client_can_load_it(vendor: Vendor, llm_project: Project) -> None:
    """A packaged model answers through plain mlflow.pyfunc too."""
    _, model = trained(llm_project())
    loaded = mlflow.pyfunc.load_model(wrappers.uri_of_run(model.run_id))
    assert list(loaded.predict([{"question": "a"}, {"question": "b"}])) == ["Answer to: a", "Answer to: b"]


@pytest.mark.slow
def test_predict_takes_one_or_many(vendor: Vendor, llm_project: Project) -> None:
    """A row or a question gives one answer, a list gives a list in its order; the error of a bad row names its lack."""
    _, model = trained(llm_project())
    assert model.predict("a") == model.predict({"question": "a"}) == "Answer to: a"
    assert model.predict(["b", "a"]) == ["Answer to: b", "Answer to: a"]
    with pytest.raises(InputError, match="'question', which the row lacks"):
        model.predict([{"other": "a"}])


@pytest.mark.slow
def test_one_vendor_for_another(vendor: Vendor, llm_project: Project) -> None:
    """Only the model's name in config.yaml changes from GPT to Claude."""
    _, model = trained(llm_project(model={"implementation": "anthropic:claude-test"}))
    assert model.predict("a") == "Claude answers: a"


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ({"params": {}}, "needs 'prompts'"),
        ({"params": {"prompts": "nowhere.yaml"}}, "does not exist"),
        ({"implementation": "gpt"}, "provider:model"),
    ],
)
def test_a_model_that_cannot_be_packaged_is_an_error(
    llm_project: Project, model: dict[str, Any], says: str
) -> None:
    """A missing prompts file and a bad model name stop training, with the remedy."""
    with pytest.raises(MlopsError, match=says):
        trained(llm_project(model=model))


def test_prompts_must_be_texts(llm_project: Project) -> None:
    """A prompts file must be a mapping of names to texts."""
    file = llm_project()
    file.with_name("prompts.yaml").write_text("user: [1, 2]")
    with pytest.raises(TrainingError, match="map names to texts"):
        trained(file)


def test_a_field_of_a_prompt_may_have_any_name() -> None:
    """Spaces, hyphens and letters of any script; JSON between double braces is none."""
    row = {"고객 질문": "왜?", "a-b": 1, "c": "{{d}}"}
    assert fill('{{고객 질문}} {{ a-b }} {{c}} {{"x": 1}}', row) == '왜? 1 {{d}} {{"x": 1}}'
    with pytest.raises(InputError, match="'d e', which the row lacks"):
        fill("{{ d e }}", row)


def test_a_backslash_makes_a_field_text() -> None:
    """Only before a field; a value with the same signs stays as it is."""
    prompt = r'Write \{{user.name}} or \{{ 이름 }} for {{q}}. \{{"x": 1}} \d'
    assert fields(prompt) == ["q"]
    assert fill(prompt, {"q": r"\{{q}}"}) == r'Write {{user.name}} or {{ 이름 }} for \{{q}}. \{{"x": 1}} \d'


@pytest.mark.parametrize(
    ("prompt", "names", "text"),
    [
        (r"C:\\{{q}}", ["q"], r"C:\a"), (r"C:\\\{{q}}", [], r"C:\{{q}}"), (r"\\{{q}}", ["q"], r"\a"),
        ("{{the user's q}}", ["the user's q"], "b"), ("{{'q': 1}} {{ 'q' }}", [], "{{'q': 1}} {{ 'q' }}"),
    ],
)  # fmt: skip
def test_two_backslashes_are_one_before_a_field(prompt: str, names: list[str], text: str) -> None:
    """So that a path may end with a column. An apostrophe is part of a name, and quotes are JSON."""
    assert fields(prompt) == names
    assert fill(prompt, {"q": "a", "the user's q": "b"}) == text


def test_a_logged_model_keeps_braces_that_were_no_field() -> None:
    """When it was logged, a field was one word; its columns are always fields."""
    assert fill("{{ a, b }} {{q}}", {"q": "?"}, columns=["q"]) == "{{ a, b }} ?"
    for prompt, columns in (("{{a b}}", ["q", "a b"]), ("{{a}}", ["q"])):
        with pytest.raises(InputError, match="which the row lacks"):
            fill(prompt, {"q": "?"}, columns)


def test_a_prompt_that_needs_another_column_is_refused_before_any_call(
    vendor: Vendor, llm_project: Project
) -> None:
    """The error names the field and the columns there are."""
    file = llm_project()
    file.with_name("prompts.yaml").write_text("user: '{{고객 질문}}'\n")
    with pytest.raises(TrainingError, match="'user' needs '고객 질문'; data.features has: question"):
        trained(file)
    file.with_name("prompts.yaml").write_text(r"user: 'C:\{{question}} {{question}}'")
    with pytest.raises(TrainingError, match="two backslashes for a backslash and the column's value"):
        trained(file)
    assert vendor.stats["calls"] == 0


def test_a_prompt_with_the_value_of_a_key_is_refused(llm_project: Project) -> None:
    """No file of a model carries one."""
    file = llm_project()
    file.with_name("prompts.yaml").write_text(f"user: '{{{{question}}}} {KEY}'\n")
    with pytest.raises(TrainingError, match=r"carry prompts.yaml, which holds the value of a secret"):
        trained(file)


@pytest.mark.slow
def test_what_the_first_evaluation_cost_stays(vendor: Vendor, llm_project: Project) -> None:
    """An evaluation that reuses the calls has metrics of its own."""
    settings, model = trained(llm_project(rows=3))
    judged(settings, model)
    judged(settings, model)
    metrics = mlflow.MlflowClient().get_run(model.run_id).data.metrics
    assert metrics["test.llm.calls"] == 3 and metrics["test.llm.again.calls"] == 0
    assert metrics["test.llm.calls_reused"] == 0 and metrics["test.llm.again.calls_reused"] == 3


@pytest.mark.slow
def test_a_wrong_key_ends_the_evaluation_with_the_reason(vendor: Vendor, llm_project: Project) -> None:
    """No verdict is left that a registration could use."""
    settings, model = trained(llm_project(rows=3))
    vendor.control(faults=[{"kind": "401", "share": 1.0, "times": -1}])
    with pytest.raises(EvaluationError, match="3 of 3 rows failed: .*401.*Incorrect API key"):
        judged(settings, model)
    with pytest.raises(RegistryError, match="did not finish"):
        registry.register_run(settings, model.run_id)


@pytest.mark.slow
def test_an_evaluation_that_fails_keeps_its_calls(vendor: Vendor, llm_project: Project) -> None:
    """After a slip in a metric the answers need not be paid for again; a judge without a price is named."""
    settings, model = trained(llm_project(rows=3, llm={"prices": {"openai:gpt-test": [1.0, 2.0]}}))
    unpriced = {"metrics": ("semantic_similarity",), "embeddings": "openai:unpriced", "max_cost_usd": 1.0}
    with pytest.raises(EvaluationError, match="semantic_similarity asks 'openai:unpriced'.*no price"):
        judged(settings, model, **unpriced)
    assert vendor.stats["calls"] == 0
    vendor.control(faults=[{"kind": "401", "times": -1, "share": 0.0}])  # of embeddings alone
    with pytest.raises(EvaluationError, match="3 of 3 rows failed: .*401.*in semantic_similarity"):
        judged(settings, model, metrics=("semantic_similarity",), embeddings="openai:e")
    assert vendor.stats["calls"] == 6
    vendor.control()
    assert judged(settings, model).metrics["exact_match"].value == 1.0
    assert vendor.stats["calls"] == 0


@pytest.mark.slow
def test_a_budget_that_ends_before_the_first_answer_is_named(vendor: Vendor, llm_project: Project) -> None:
    settings, model = trained(llm_project(rows=3))
    vendor.control(faults=[{"kind": "400", "share": 1.0, "times": -1}])
    with pytest.raises(EvaluationError, match=r"rows failed.* evaluation\.max_calls 1 is spent \(1\)\."):
        judged(settings, model, max_calls=1, concurrency=1)


@pytest.mark.slow
def test_a_reference_may_be_an_object(vendor: Vendor, llm_project: Project) -> None:
    """Golden rows in which each object has its own fields; null is a value."""
    file = llm_project(evaluation={"metrics": ["exact_match", "json_fields"], "threshold": 0.0})
    objects = [{"city": "서울", "zip": None}, {"city": "Busan"}, {"tags": ["a", {"b": 1}]}, "text"]
    lines = [
        json.dumps({"id": str(i), "question": f"Q{i}", "reference": one}) for i, one in enumerate(objects)
    ]
    for split in ("train", "validation", "test"):
        (file.parent / "golden" / f"{split}.jsonl").write_text(
            "\n".join(lines[:3]).replace('"id": "', f'"id": "{split}')
        )
    settings, model = trained(file)
    report = judged(settings, model)
    assert [json.loads(text) for text in report.per_row["reference"]] == objects[:3]
    assert list(report.per_row["json_fields"]) == [0.0, 0.0, 0.0] and report.verdict.passed
    (file.parent / "mixed.jsonl").write_text("\n".join(lines))
    (table,) = Rows([data_file(file.parent / "mixed.jsonl")], labels=["reference"]).tables()
    assert table["reference"].to_pylist() == [json.dumps(one, ensure_ascii=False) for one in objects[:3]] + [
        "text"
    ]


def test_a_golden_set_needs_no_validation_split(llm_project: Project) -> None:
    """Nothing is fitted, so `validation_fraction: 0` leaves more rows to judge; other tasks need the split."""
    file = llm_project(
        data={"source": "all.jsonl", "validation_fraction": 0.0, "test_fraction": 0.95, "key": ""}
    )
    lines = [json.dumps({"question": f"Q{i}", "reference": f"R{i}"}) for i in range(20)]
    (file.parent / "all.jsonl").write_text("\n".join(lines))
    settings = config.load(file)
    rows = loaders.from_settings(settings).write(file.parent / "data")
    assert rows == {"train": 1, "validation": 0, "test": 19}
    prepared = loaders.prepared(settings, file.parent / "data")
    assert [prepared.count(split) for split in ("train", "validation", "test")] == [1, 0, 19]
    with pytest.raises(DataError, match="Split 'validation' of .* has no rows"):
        list(prepared.parts("validation"))


@pytest.mark.slow
def test_all_rows_of_a_golden_set_may_be_judged(vendor: Vendor, llm_project: Project) -> None:
    """`test_fraction: 1` judges each of twenty rows, with keys too, and a folder may have a test file alone."""
    file = llm_project(data={"source": "all.jsonl", "test_fraction": 1.0})
    rows = [
        {
            "id": f"q{i}",
            "question": f"Q{i}",
            "reference": f"Answer to: Q{i}",
            "tags": ["a", "b"],
            "level": i % 2,
        }
        for i in range(20)
    ]
    lines = "\n".join(map(json.dumps, rows))
    (file.parent / "all.jsonl").write_text(lines)
    only_test = file.parent / "only_test"
    only_test.mkdir()
    (only_test / "test.jsonl").write_text(lines)
    for source in ("all.jsonl", str(only_test)):
        settings = config.load(file, {"data.source": source, "data.reference_columns": ["tags", "level"]})
        assert loaders.from_settings(settings).write(file.parent / "data") == {
            "train": 0,
            "validation": 0,
            "test": 20,
        }
        data = loaders.prepared(settings, file.parent / "data")
        assert [len(data.head(split, 3)) for split in ("train", "test")] == [0, 3]
        assert list(data.schema.features) == ["question"] and data.schema.references == ["tags", "level"]
        model = wrappers.from_settings(settings)
        model.train(data, settings)
        chosen = settings.evaluation.model_copy(update={"gate": GateSettings(slices={"level": "all"})})
        report = model.evaluate(data, settings.model_copy(update={"evaluation": chosen}))
        assert report.rows == 20 and report.metrics["exact_match"].value == 1.0
        assert set(report.judged.slices["level"]) == {"0", "1"}
        assert model.signature is not None and model.signature.inputs.input_names() == ["question"]


def test_a_model_that_is_fitted_needs_rows_to_learn_from(llm_project: Project) -> None:
    """The error names both fractions and the task, before any work."""
    fitted = {"task": "classification", "metric": "roc_auc", "metrics": []}
    file = llm_project(data={"test_fraction": 1.0}, evaluation=fitted)
    with pytest.raises(
        ConfigError, match=r"test_fraction 1 \+ data.validation_fraction 0 leave no rows to learn from"
    ):
        config.load(file)
    file = llm_project(data={"test_fraction": 1.0, "validation_fraction": 0.1})
    with pytest.raises(ConfigError, match="must be 1 at most"):
        config.load(file)

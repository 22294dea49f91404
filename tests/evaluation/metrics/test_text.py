"""Text metrics by name, the user's own, and what a row without an answer counts as."""

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sacrebleu

from mlops_lib import config
from mlops_lib.errors import ConfigError, EvaluationError
from mlops_lib.evaluation import decide, evaluate
from mlops_lib.llm.generation import Generation
from tests.support.llm_fixtures import Vendor

REFERENCES = ["The cat sat on the mat today.", "Dogs bark. They also run fast.", "Fish swim in the deep sea."]
ANSWERS = ["The cat sat on a mat today.", "Dogs bark. They run fast.", "Fish swim in the deep sea."]


def generations(answers: list[str], errors: dict[int, str] | None = None) -> list[Generation]:
    errors = errors or {}
    return [
        Generation(
            {"question": f"q{i}"}, "" if i in errors else answer, ("The sky is blue.",), errors.get(i, "")
        )
        for i, answer in enumerate(answers)
    ]


def report(
    llm_project: Callable[..., Path], metrics: list[str], made: list[Generation], **settings: Any
) -> Any:
    file = llm_project(evaluation={"metrics": metrics, "metric": metrics[0], **settings})
    return evaluate("text", REFERENCES, made, split="test", settings=config.load(file))


def test_bleu_and_chrf_are_sacrebleus_over_whole_texts(llm_project: Callable[..., Path]) -> None:
    """Scores equal sacrebleu's own on texts of several sentences, and carry its signatures."""
    found = report(llm_project, ["bleu", "chrf"], generations(ANSWERS))
    assert found.metrics["bleu"].value == pytest.approx(sacrebleu.corpus_bleu(ANSWERS, [REFERENCES]).score)
    assert found.metrics["chrf"].value == pytest.approx(sacrebleu.corpus_chrf(ANSWERS, [REFERENCES]).score)
    assert "tok:13a" in found.notes["bleu"] and "nc:6" in found.notes["chrf"]


@pytest.mark.slow
def test_known_values(llm_project: Callable[..., Path]) -> None:
    """ROUGE-L, exact match and similarity have the values one gets by hand."""
    made = generations([REFERENCES[0].upper(), "Dogs", "Nothing alike"])
    found = report(llm_project, ["rouge_l", "exact_match", "semantic_similarity"], made)
    # "Dogs" against 6 words: precision 1, recall 1/6, so F1 = 2/7; "Nothing alike" shares no word.
    assert list(found.per_row["rouge_l"]) == pytest.approx([1.0, 2 / 7, 0.0])
    assert list(found.per_row["exact_match"]) == [1.0, 0.0, 0.0]
    assert found.per_row["semantic_similarity"][0] == pytest.approx(1.0)
    assert found.per_row["semantic_similarity"][2] < 0.3


def test_a_row_without_an_answer_counts_as_the_worst(llm_project: Callable[..., Path]) -> None:
    """Errored and empty rows are counted apart, and pull every score down: no mean over the survivors."""
    made = generations([REFERENCES[0], "", "x"], {2: "boom"})
    found = report(llm_project, ["exact_match", "bleu"], made)
    score = found.metrics["exact_match"]
    assert (score.scored, score.errored, score.empty) == (1, 1, 1)
    assert score.value == pytest.approx(1 / 3)
    assert found.metrics["bleu"].value < 60
    assert list(found.table().index) == ["model", "scored", "errored", "empty", "left_out"]
    assert found.per_row["error"][2] == "boom"


def test_worst_rows_come_first(llm_project: Callable[..., Path]) -> None:
    """The table of worst rows starts with what failed and goes on from the lowest score."""
    made = generations([REFERENCES[0], "Nothing alike", "x"], {2: "boom"})
    worst = report(llm_project, ["exact_match", "chrf"], made).tables["The 10 worst rows"]
    assert list(worst["input"]) == ["q2", "q1", "q0"]


OWN = """
def length(case): return float(len(case.answer))
length.higher_is_better = False

def bounded(case): return float(len(case.answer))
bounded.higher_is_better, bounded.worst = False, 100.0

async def picky(case):
    if case.question == "q1": raise ValueError("cannot judge this")
    return 1.0

def nan(case): return float("nan")

def lacks(case): return case.generation.input["expected_tool"]
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_metrics.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(tmp_path))
    sys.modules.pop("own_metrics", None)


def test_a_metric_of_ones_own(own: None, llm_project: Callable[..., Path]) -> None:
    """A function by dotted path is a metric; the gate knows its direction."""
    found = report(llm_project, ["own_metrics:length"], generations(["a", "bb", "ccc"]))
    assert found.metrics["own_metrics:length"].value == pytest.approx(2.0)
    assert decide(found, "own_metrics:length", 2.0).passed
    assert not decide(found, "own_metrics:length", 1.9).passed


def test_lower_is_better_needs_to_know_the_worst(own: None, llm_project: Callable[..., Path]) -> None:
    """Where lower is better, a missing row must not count as zero: the worst is declared, or it is an error."""
    made = generations(["a", "b", "c"], {2: "boom"})
    with pytest.raises(EvaluationError, match="`worst`"):
        report(llm_project, ["own_metrics:length"], made)


def test_a_declared_worst_is_used(own: None, llm_project: Callable[..., Path]) -> None:
    """A row without an answer counts as the function's `worst`."""
    found = report(llm_project, ["own_metrics:bounded"], generations(["a", "b", "c"], {2: "boom"}))
    assert found.metrics["own_metrics:bounded"].value == pytest.approx(102 / 3)


def test_a_metric_that_fails_is_an_errored_row(own: None, llm_project: Callable[..., Path]) -> None:
    """A metric that raises or gives NaN on a row leaves an errored row with the reason, and the rest stands."""
    found = report(llm_project, ["own_metrics:picky"], generations(ANSWERS))
    assert found.metrics["own_metrics:picky"].errored == 1
    assert "cannot judge this" in found.per_row["error"][1]
    assert not decide(found, "own_metrics:picky", 0.0).passed


def test_a_row_that_another_metric_failed_on_is_no_worse(own: None, llm_project: Callable[..., Path]) -> None:
    """The metric of the gate decides the order."""
    made = generations(["Nothing alike", REFERENCES[1], REFERENCES[2]])
    worst = report(llm_project, ["exact_match", "own_metrics:picky"], made).tables["The 10 worst rows"]
    assert list(worst["input"]) == ["q0", "q1", "q2"] and "cannot judge this" in worst["error"][1]


@pytest.mark.parametrize(
    ("metric", "says"),
    [
        (
            "own_metrics:nan",
            "3 of 3 rows failed: own_metrics:nan gave nan, which is no score in own_metrics:nan",
        ),
        ("own_metrics:lacks", "3 of 3 rows failed: KeyError 'expected_tool' in own_metrics:lacks"),
        ("json_fields", "3 of 3 rows failed: the reference is no JSON object or list: 'The cat"),
    ],
)
def test_a_metric_that_fails_on_all_rows_ends_the_evaluation(
    own: None, llm_project: Callable[..., Path], metric: str, says: str
) -> None:
    """The first cause and the count are named, also where it is not the metric of the gate."""
    with pytest.raises(EvaluationError, match=re.escape(says)):
        report(llm_project, ["exact_match", metric], generations(ANSWERS))


def test_a_model_that_fails_on_all_rows_ends_the_evaluation(llm_project: Callable[..., Path]) -> None:
    """An answer that is empty is an answer; one that failed is none."""
    made = generations(ANSWERS, dict.fromkeys(range(3), "AuthenticationError: Error code: 401"))
    with pytest.raises(EvaluationError, match="3 of 3 rows failed: AuthenticationError Error code: 401$"):
        report(llm_project, ["exact_match"], made)
    assert (
        report(llm_project, ["exact_match"], generations(["", "", ""])).metrics["exact_match"].value is None
    )


def test_an_unknown_metric_stops_at_once(llm_project: Callable[..., Path]) -> None:
    """A misspelt metric is refused when the config is read, with those there are."""
    with pytest.raises(ConfigError, match=r"Unknown metric 'blue'.*bleu"):
        config.load(llm_project(evaluation={"metrics": ["blue"]}))


RAGAS = ["faithfulness", "answer_relevancy", "context_precision", "context_recall", "factual_correctness"]


@pytest.mark.slow
def test_ragas_asks_any_openai_compatible_judge(vendor: Vendor, llm_project: Callable[..., Path]) -> None:
    """All five RAGAS metrics get their values from a judge over HTTP, through the counted and recorded path."""
    judge = {"judge": "openai:judge", "embeddings": "openai:embedding", "concurrency": 2}
    found = report(llm_project, RAGAS, generations(ANSWERS), **judge)
    assert {name: score.value for name, score in found.metrics.items()} == pytest.approx(
        dict.fromkeys(RAGAS, 1.0), abs=0.02
    )
    assert "judge openai:judge" in found.notes["faithfulness"]
    vendor.control()
    longer = report(
        llm_project,
        ["faithfulness"],
        generations(ANSWERS),
        **judge,
        judge_max_tokens=4000,
        judge_temperature=0.5,
    )
    bodies = vendor.stats["bodies"]
    assert {(body["max_tokens"], body["temperature"]) for body in bodies} == {(4000, 0.5)}
    assert longer.notes["faithfulness"].endswith("judge openai:judge, max_tokens 4000, temperature 0.5")
    vendor.control(verdict=0)
    assert (
        report(llm_project, ["faithfulness"], generations(ANSWERS), **judge).metrics["faithfulness"].value
        == 0.0
    )
    vendor.control(faults=[{"kind": "400", "times": -1}])
    with pytest.raises(EvaluationError, match="3 of 3 rows failed: .*in faithfulness"):
        report(llm_project, ["faithfulness"], generations(ANSWERS), **judge)


def test_ragas_without_a_judge_says_what_to_set(llm_project: Callable[..., Path]) -> None:
    """A RAGAS metric with no judge configured is an error before anything is asked."""
    with pytest.raises(EvaluationError, match=r"Set evaluation\.judge"):
        report(llm_project, ["faithfulness"], generations(ANSWERS))

"""The settings that stored rows were scored with: what is compared, and how a difference reads."""

import re
from pathlib import Path

import pytest

from mlops_lib import plugins
from mlops_lib.evaluation.metrics.answers import settings_behind
from mlops_lib.evaluation.metrics.interface import TextMetric
from mlops_lib.evaluation.scored_with import changed, scored_with
from mlops_lib.settings import Settings


def settings(evaluation: dict, prices: dict | None = None, root: Path = Path()) -> Settings:
    sections = {"data": {"source": "rows.csv", "label": "y"}, "model": {"name": "m"}}
    return Settings.model_validate(
        {
            "root": root,
            "evaluation": {"threshold": 0.5, **evaluation},
            "llm": {"prices": prices or {}},
            **sections,
        }
    )


class Own(TextMetric):
    """A metric class of the user's own, which sees all settings."""


def own(case) -> float:
    """A metric function of the user's own, which sees none."""
    return 1.0


def rubric(prompt: str, **more) -> dict:
    return {"prompt": prompt, "scale": {0: "no", 1: "yes"}, **more}


FORECAST = {"task": "forecast", "metric": "mase"}
ROUGE = {"task": "text", "metric": "rouge_l", "judge": "fake:one"}
KIND = ROUGE | {"metric": "kind", "rubrics": {"kind": rubric("Is it kind?")}}
OTHER_JUDGE = {"judge": "fake:other"}


@pytest.mark.parametrize(
    ("then", "now", "words"),
    [
        (FORECAST, {"seasonality": 7}, "evaluation.seasonality was 1 and is 7 now"),
        (ROUGE, {"language": "ko"}, 'evaluation.language was "auto" and is "ko" now'),
        (ROUGE, {"simulated_user": {"max_turns": 7}}, 'evaluation.simulated_user was {} and is {"max_turns": 7} now'),
        ({}, {"k": 3, "threshold": 0.9, "metrics": ("accuracy", "roc_auc")}, ""),
        ({}, {"seasonality": 7}, ""),
        # A judge counts where a metric of the gate asks it.
        (ROUGE, OTHER_JUDGE | {"judge_temperature": 1.0, "embeddings": "fake:other"}, ""),
        (ROUGE | {"metrics": ("rouge_l", "faithfulness")}, OTHER_JUDGE, ""),
        (KIND, OTHER_JUDGE, 'evaluation.judge was "fake:one" and is "fake:other" now'),
        (KIND, {"judge_max_tokens": 9}, "evaluation.judge_max_tokens was 0 and is 9 now"),
        (KIND, {"language": "ko"}, ""),
        (KIND, {"rubrics": {"kind": rubric("Is it not kind?")}}, "evaluation.rubrics.kind changed"),
        (KIND, {"rubrics": KIND["rubrics"] | {"short": rubric("Is it short?")}}, ""),
        (KIND | {"metric": "rouge_l"}, OTHER_JUDGE | {"rubrics": {"kind": rubric("Other")}}, ""),
        (KIND | {"rubrics": {"kind": rubric("Kind?", judge="fake:its", temperature=0.5, max_tokens=9)}},
         OTHER_JUDGE | {"judge_temperature": 1.0, "judge_max_tokens": 5}, ""),
        (KIND | {"metric": "rouge_l"}, OTHER_JUDGE | {"gate": {"margins": {"kind": 0.1}}},
         'evaluation.judge was "fake:one" and is "fake:other" now'),
        (ROUGE | {"metric": f"{__name__}:Own"}, OTHER_JUDGE, 'evaluation.judge was "fake:one" and is "fake:other" now'),
        (ROUGE | {"metric": f"{__name__}:own"}, OTHER_JUDGE | {"language": "ko"}, ""),
    ],
)  # fmt: skip
def test_a_setting_behind_the_gate_is_named(then, now, words):
    """Criteria, settings of other tasks, and settings of metrics that the gate does not ask for may change;
    a long value is not printed."""
    assert changed(scored_with(settings(then)), settings(then | now)) == words


@pytest.mark.parametrize(
    ("gate", "words"),
    [
        ({"thresholds": {"cost": 1.0}}, "llm.prices was {} and is .* now"),
        ({"max_cost_usd": 1.0}, "llm.prices was {} and is .* now"),
        ({}, ""),
    ],
)
def test_prices_count_where_the_gate_limits_the_cost(gate, words):
    """The costs of the stored rows are at the prices of then, those of a champion at today's."""
    then = ROUGE | {"gate": gate}
    assert re.fullmatch(
        words, changed(scored_with(settings(then)), settings(then, {"openai:one": [1.0, 2.0]}))
    )


def test_the_code_of_a_metric_of_the_user_s_own_counts(tmp_path, monkeypatch):
    """The stored scores are of the function of then; the champion's would be of the one of now."""
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("gate_polite", "gate_other"):
        (tmp_path / f"{name}.py").write_text("def score(case):\n    return 1.0\n")
    chosen = ROUGE | {"metric": "gate_polite:score", "metrics": ("gate_polite:score", "gate_other:score")}
    then = scored_with(settings(chosen))
    assert changed(then, settings(chosen)) == ""
    (tmp_path / "gate_other.py").write_text("def score(case):\n    return 0.5\n")
    assert changed(then, settings(chosen)) == ""
    (tmp_path / "gate_polite.py").write_text("def score(case):\n    return 0.5\n")
    assert changed(then, settings(chosen)) == "the code of gate_polite:score changed"


def test_a_schema_is_compared_by_its_content(tmp_path):
    """Another content of the same file is another schema; another file with the same content is not."""
    for name, content in (("one", '{"type": "object"}'), ("same", '{\n "type":"object"}')):
        (tmp_path / f"{name}.json").write_text(content)
    chosen = {"task": "text", "metric": "json_schema", "json_schema": "one.json"}
    then = scored_with(settings(chosen, root=tmp_path))
    assert changed(then, settings(chosen | {"json_schema": "same.json"}, root=tmp_path)) == ""
    (tmp_path / "one.json").write_text('{"type": "array"}')
    words = 'evaluation.json_schema was {"type": "object"} and is {"type": "array"} now'
    assert changed(then, settings(chosen, root=tmp_path)) == words
    (tmp_path / "one.json").unlink()
    assert 'is "one.json" now' in changed(then, settings(chosen, root=tmp_path))


def test_every_metric_of_the_platform_names_the_settings_behind_it():
    """A new metric that reads a setting must say so, or a promotion would mix scores of two settings."""
    chosen = settings(ROUGE)
    behind = {name: settings_behind(name, chosen) for name in plugins.names("metric", "text")}
    judge = frozenset({"judge", "judge_temperature", "judge_max_tokens"})
    of_judge = (
        "faithfulness", "context_precision", "context_recall", "factual_correctness", "topic_adherence",
        "agent_goal_accuracy",
    )  # fmt: skip
    assert {name: frozenset(names) for name, names in behind.items() if names} == {
        **dict.fromkeys(("bleu", "chrf", "exact_match", "rouge_l"), frozenset({"language"})),
        **dict.fromkeys(of_judge, judge),
        **dict.fromkeys(("answer_relevancy", "answer_correctness"), judge | {"embeddings"}),
        "json_schema": frozenset({"json_schema"}),
        "semantic_similarity": frozenset({"embeddings"}),
        "cost": frozenset({"llm.prices"}),
    }


def test_order_and_new_defaults_change_nothing():
    """Rubrics in another order are the same; a section names what config.yaml sets, not a release's defaults."""
    rubrics = {name: rubric(name) for name in ("kind", "short")}
    chosen = KIND | {"rubrics": rubrics}
    then = scored_with(settings(chosen))
    assert changed(then, settings(chosen | {"rubrics": dict(reversed(rubrics.items()))})) == ""
    assert then["simulated_user"] == "{}"
    assert scored_with(settings(ROUGE | {"simulated_user": {"max_turns": 6}}))["simulated_user"] == "{}"


def test_evidence_of_an_older_release_is_not_compared():
    """It names no settings."""
    assert changed({}, settings({"output": "other"})) == ""

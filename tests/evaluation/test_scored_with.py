"""The settings that stored rows were scored with: what is compared, and how a difference reads."""

from pathlib import Path

import pytest

from mlops_lib.evaluation.scored_with import changed, scored_with
from mlops_lib.settings import Settings


def settings(**evaluation) -> Settings:
    sections = {"data": {"source": "rows.csv", "label": "y"}, "model": {"name": "m"}}
    return Settings.model_validate(
        {"root": Path(), "evaluation": {"threshold": 0.5, **evaluation}, **sections}
    )


FORECAST = {"task": "forecast", "metric": "mase"}
TEXT = {"task": "text", "metric": "rouge_l"}


@pytest.mark.parametrize(
    ("then", "now", "words"),
    [
        (FORECAST, {"seasonality": 7}, "evaluation.seasonality was 1 and is 7 now"),
        (TEXT, {"language": "ko"}, 'evaluation.language was "auto" and is "ko" now'),
        (
            TEXT,
            {"rubrics": {"kind": {"prompt": "Is it kind?", "scale": {0: "no", 1: "yes"}}}},
            "evaluation.rubrics changed",
        ),
        ({}, {"k": 3, "threshold": 0.9, "metrics": ("accuracy", "roc_auc")}, ""),
        ({}, {"seasonality": 7}, ""),
    ],
)
def test_a_setting_behind_the_rows_is_named(then, now, words):
    """Criteria of the gate and settings of other tasks may change; a long value is not printed."""
    assert changed(scored_with(settings(**then)), settings(**then, **now)) == words


def test_order_and_new_defaults_change_nothing():
    """Rubrics in another order are the same; a section names what config.yaml sets, not a release's defaults."""
    rubrics = {name: {"prompt": name, "scale": {0: "no", 1: "yes"}} for name in ("kind", "short")}
    reversed_ = dict(reversed(rubrics.items()))
    then = scored_with(settings(**TEXT, rubrics=rubrics))
    assert changed(then, settings(**TEXT, rubrics=reversed_)) == ""
    assert then["simulated_user"] == "{}"
    assert scored_with(settings(**TEXT, simulated_user={"max_turns": 6}))["simulated_user"] == "{}"
    assert "simulated_user" in changed(
        then, settings(**TEXT, rubrics=rubrics, simulated_user={"max_turns": 7})
    )


def test_evidence_of_an_older_release_is_not_compared():
    """It names no settings."""
    assert changed({}, settings(output="other")) == ""

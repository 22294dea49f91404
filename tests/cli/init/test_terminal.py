"""`mlops init` in a terminal: it shows the columns, asks, and asks again after an answer that cannot be."""

from tests.support import terminal

COLUMNS = 100


def in_terminal(*arguments, answers, cwd):
    """Exit status of `mlops init`, and all that a terminal of 100 columns showed."""
    code, shown = terminal.in_terminal("init", *arguments, columns=COLUMNS, answers=answers, cwd=cwd)
    return code, shown.replace("\r", "")


def test_enter_takes_every_proposal(customers, written, tmp_path):
    """The table of columns comes first, then one question for each choice."""
    customers.to_csv(tmp_path / "churn.csv", index=False)
    code, shown = in_terminal("mine", "--source", "churn.csv", answers="\n" * 8, cwd=tmp_path)
    assert code == 0, shown
    wanted = [
        "400 rows, 6 columns",
        "Column to predict",
        "Task",
        "tells entities apart",
        "Metric",
        "cd mine && mlops run",
    ]
    assert sorted(wanted, key=shown.index) == wanted
    assert written()["data"]["label"] == "Churn" and written()["data"]["key"] == "customerID"


def test_an_answer_that_cannot_be_is_asked_for_again(customers, written, tmp_path):
    """A slip in a name, a text called numbers, no key, rows without a label."""
    customers.to_csv(tmp_path / "churn.csv", index=False)
    typed = ["chrun", "TotalCharges", "numbers", "regression", "y", "TotalCharges", "-", "-", "rmse"]
    code, shown = in_terminal(
        "mine", "--source", "churn.csv", answers="\n".join(typed) + "\n\n", cwd=tmp_path
    )
    assert code == 0, shown
    assert (
        "Did you mean 'Churn'?" in shown.replace("\n", " ")
        and "is both" in shown
        and "Leave these rows out?" in shown
    )
    found = written()
    assert (found["data"]["label"], found["data"]["key"]) == ("TotalCharges", "")
    assert found["data"]["missing_label"] == "drop" and found["evaluation"]["metric"] == "rmse"


def test_rows_without_a_label_are_kept_unless_the_answer_is_yes(customers, tmp_path):
    """Enter leaves nothing out."""
    customers.to_csv(tmp_path / "churn.csv", index=False)
    code, shown = in_terminal(
        "mine", "--source", "churn.csv", "--label", "TotalCharges", answers="\n" * 4, cwd=tmp_path
    )
    assert (
        code == 1 and "--missing-label drop" in shown.replace("\n", " ") and not (tmp_path / "mine").exists()
    )


def test_yes_asks_nothing(customers, written, tmp_path):
    """Also in a terminal."""
    customers.to_csv(tmp_path / "churn.csv", index=False)
    code, shown = in_terminal("mine", "--source", "churn.csv", "--yes", answers="", cwd=tmp_path)
    assert code == 0 and "Column to predict" not in shown, shown
    assert written()["data"]["label"] == "Churn"


def test_a_text_as_time_is_asked_for_again(customers, written, tmp_path):
    """The question for the time takes a date next."""
    customers.to_csv(tmp_path / "churn.csv", index=False)
    typed = ["", "", "", "Contract", "signup", ""]
    code, shown = in_terminal(
        "mine", "--source", "churn.csv", answers="\n".join(typed) + "\n\n", cwd=tmp_path
    )
    assert code == 0, shown
    assert "'Contract', the time of the split" in shown.replace("\n", " ")
    assert written()["data"]["split"] == {"by": "time", "column": "signup"}

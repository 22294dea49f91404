"""What a person should check about the way that files were read: columns, files and examples are named; usual files are silent."""

import re

import pandas as pd
import pytest

from tests.loaders.test_foreign_files import ROWS, text, write

WORDS = ("twelve", "unknown-3", "미정", "열둘")


def numbers(row=lambda n: n + 12):
    return text(["x", "z"], lambda n: [str(row(n)), str(n % 30)])


def said_of(tmp_path, capsys, files, data=""):
    write(tmp_path, files, data)
    return [line for line in capsys.readouterr().out.splitlines() if "WARNING" in line]


@pytest.mark.parametrize("other", ["csv", "jsonl"])
def test_numbers_in_one_file_and_words_in_another_are_named(tmp_path, capsys, other):
    """The column becomes a category, so both files and an example of each are in a warning."""
    words = numbers(lambda n: f"{WORDS[n % 4]} {n}")
    if other == "jsonl":
        words = "".join(f'{{"x": "{WORDS[n % 4]} {n}", "z": {n}, "y": "예"}}\n' for n in range(80))
    [said] = said_of(tmp_path, capsys, {"a.csv": numbers(), f"b.{other}": words})
    assert "column 'x' has numbers in" in said and "a.csv, such as '12', and text in" in said
    assert f"b.{other}, such as 'twelve 0'" in said and "set data.columns: {x: category}" in said


@pytest.mark.parametrize(
    ("rows", "data"),
    [
        (lambda n: f"{WORDS[n % 4]} {n}", ", columns: {x: category}"),
        (lambda n: f"{WORDS[n % 4]} {n}", ", features: [z]"),
        (lambda n: f"0{n + 9000}", ""),
        (lambda n: ("", "NA")[n % 2], ""),
    ],
)
def test_names_and_gaps_are_no_doubt(tmp_path, capsys, rows, data):
    """A column that config.yaml calls a category, one that is not used, zip codes, and a file with gaps alone."""
    assert not said_of(tmp_path, capsys, {"a.csv": numbers(), "b.csv": numbers(rows)}, data)


def test_words_of_a_folder_beside_numbers_are_named(tmp_path, capsys):
    for folder in ("x=5", "x=b"):
        (tmp_path / folder).mkdir()
    rows = text(["z"], lambda n: [str(n % 30)])
    [said] = said_of(tmp_path, capsys, {"x=5/a.csv": rows, "x=b/a.csv": rows})
    assert "x=5/a.csv, such as '5'" in said and "x=b/a.csv, such as 'b'" in said


def test_an_encoding_that_is_guessed_is_named_with_a_word(tmp_path, capsys):
    """Turkish in cp1254 has the bytes of other letters in latin-1."""
    rows = text(["city"], lambda n: [("İstanbul", "Şişli")[n % 2]]).replace("예", "a").replace("아니오", "b")
    [said] = said_of(tmp_path, capsys, {"a.csv": rows.encode("cp1254")})
    assert "was read as latin-1, so that it has 'Ýstanbul'" in said
    assert not said_of(tmp_path, capsys, {"a.csv": rows.encode("cp1254")}, ", csv: {encoding: cp1254}")


def test_versions_that_are_one_number_are_named(tmp_path, capsys):
    """3.1 and 3.10 are one category, since the cells are numbers; 1 and 1.0 mean the same."""
    for ways, expected in ((("3.9", "3.1", "3.10"), 1), (("1", "1.0", "2.5"), 0)):
        rows = {"a.csv": numbers(lambda n, ways=ways: ways[n % 3])}
        found = said_of(tmp_path, capsys, rows, ", columns: {x: category}")
        assert len(found) == expected
        assert not expected or "column 'x' has '3.1' and '3.10', which are one number" in found[0]


@pytest.mark.parametrize(
    ("odd", "form"),
    [("미정", "2021-03-{:02}"), ("0000-00-00", "2021년 3월 {}일"), ("2021-02-30", "{:02}/03/2021")],
)
def test_dates_but_for_a_few_texts_are_named(tmp_path, capsys, odd, form):
    """One such text makes a category of a column of dates."""
    rows = text(["x", "z"], lambda n: [form.format(n % 28 + 1) if n % 9 else odd, str(n % 30)])
    [said] = said_of(tmp_path, capsys, {"a.csv": rows})
    assert f"they are dates but for {odd!r}: list these in data.missing_values" in said


def test_times_with_a_zone_in_some_rows_alone_are_named(tmp_path, capsys):
    """Those without one count as UTC, which is nine hours off in Seoul; a date without a time has none."""
    for end, expected in (("T10:00:00+09:00", 1), ("", 0)):
        cells = ["2021-03-01T10:00:00Z" if not end else "2021-03-01 10:00", f"2021-03-02{end}"]
        rows = {"a.csv": text(["x", "z"], lambda n, cells=cells: [cells[n % 2], str(n % 30)])}
        found = said_of(tmp_path, capsys, rows)
        assert len(found) == expected and all("a time zone in some rows alone" in one for one in found)


def test_times_with_a_zone_in_some_parquet_files_alone_are_named(tmp_path, capsys):
    """The other file's times count as UTC. Two zones are no doubt: both files say when."""
    times = pd.date_range("2021-03-01 10:00", periods=ROWS, freq="h")

    def file(zone):
        frame = {"x": times.tz_localize(zone), "z": range(ROWS), "y": [0, 1] * (ROWS // 2)}
        return pd.DataFrame(frame).to_parquet()

    for plain, data, expected in (
        (None, "", 1), ("UTC", "", 0), (None, ", columns: {x: drop}", 0), (None, ", features: [z]", 0),
    ):  # fmt: skip
        files = {"a.parquet": file(plain), "b.parquet": file("Asia/Seoul")}
        found = said_of(tmp_path, capsys, files, data)
        assert len(found) == expected
        assert not expected or re.search(
            r"'x' has a time zone in .*b.parquet \(Asia/Seoul\) and none in .*a.parquet, whose", found[0]
        )

"""Files as offices write them: the right kinds, or an error that names column and remedy; nothing is left out unsaid."""

import re
import unicodedata

import pytest

from mlops_lib import config, loaders
from mlops_lib.data_checks import declared
from mlops_lib.errors import DataError

ROWS = 80
APART = unicodedata.normalize("NFD", "요금")
BOM = "\ufeff"


def text(header, row, separator=",", end="\n"):
    """A file with a label `y`; `row` makes its other cells."""
    lines = [separator.join([*header, "y"])]
    lines += [separator.join([*row(n), ("예", "아니오")[n % 2]]) for n in range(ROWS)]
    return end.join(lines) + end


def write(folder, files, data=""):
    for name, content in files.items():
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    source = next(iter(files)) if len(files) == 1 else "."
    (folder / "config.yaml").write_text(
        f"mlflow: {{tracking_uri: sqlite:///mlflow.db, experiment: e}}\ndata: {{source: {source}, label: y{data}}}\n"
        "evaluation: {threshold: 0.5}\n",
        encoding="utf-8",
    )
    settings = config.load(folder / "config.yaml")
    declared.write(settings, loaders.from_settings(settings), loaders.prepared_folder(settings))
    return loaders.prepared(settings).schema


@pytest.mark.parametrize(
    ("content", "kinds"),
    [
        (text(["d"], lambda n: [f"2021년 {n % 12 + 1}월 {n % 28 + 1}일"]), {"d": "datetime"}),
        (text(["d"], lambda n: [f"2021. {n % 12 + 1}. {n % 28 + 1}. 오후 {n % 12 + 1}:30"]), {"d": "datetime"}),
        (text(["d"], lambda n: [f"{n % 28 + 1} mars 2021"]), {"d": "datetime"}),
        (
            BOM + text(["d", "x"], lambda n: [f"{n % 28 + 1:02}.03.2021", f"{n % 30},5"], ";", "\r\n"),
            {"d": "datetime", "x": "number"},
        ),
        ("sep=;\r\n" + text(["x"], lambda n: [f"{n % 30}.5"], ";", "\r\n"), {"x": "number"}),
        (text(["도시", "x"], lambda n: [("서울", "부산")[n % 2], str(n % 30)]).encode("cp949"), {"도시": "category", "x": "integer"}),
        (text(["city", "x"], lambda n: [("Köln", "Zürich")[n % 2], str(n % 30)], "\t").encode("utf-16"), {"city": "category", "x": "integer"}),
        (text(['"월\n요금"'], lambda n: [str(n % 30)]), {"월\n요금": "integer"}),
    ],
)  # fmt: skip
def test_a_file_of_an_office_has_the_right_kinds(tmp_path, content, kinds):
    """Korean, French and German dates, a byte order mark, Excel's first line, encodings, and a name over two lines."""
    schema = write(tmp_path, {"rows.csv": content})
    assert {name: schema.kinds[name] for name in kinds} == kinds
    assert schema.classes == ("아니오", "예")


@pytest.mark.parametrize("cell", ["{n}.5%", '"${n},234.50"', '"{n},000원"', "({n}.50)", "{n}\u00a0234.5"])
def test_a_number_that_only_people_read_is_named_with_its_remedy(tmp_path, capsys, cell):
    """Percents, currencies, groups of thousands, brackets: text for a model, with a warning."""
    write(tmp_path, {"rows.csv": text(["x", "z"], lambda n: [cell.format(n=n + 1), str(n % 30)])})
    said = capsys.readouterr().out
    assert "WARNING: column 'x'" in said and "store them as numbers in the source" in said


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("{n}.5kg", "they look like numbers, such as"),
        ("１{n}", "they look like numbers, such as"),
        ("{n}.5|#DIV/0!", "they are numbers but for '#DIV/0!'"),
        ("{n}.5|-", "they are numbers but for '-'"),
        ("서울|서울 ", "they hold '서울' and '서울 ', which look the same"),
        ("Seoul|seoul", "they hold 'Seoul' and 'seoul', which differ in upper and lower case alone"),
    ],
)
def test_texts_that_mean_something_else_are_named(tmp_path, capsys, cell, said):
    """Units, digits of full width, errors of a sheet and marks for a gap among numbers, categories written in two ways."""
    ways = cell.split("|")
    way = {n: ways[n % 12 == 0] if len(ways) > 1 else cell for n in range(ROWS)}
    write(tmp_path, {"rows.csv": text(["x", "z"], lambda n: [way[n].format(n=n % 40 + 1), str(n % 30)])})
    assert said in capsys.readouterr().out


def test_keys_that_are_one_number_are_named(tmp_path, capsys):
    """A program cut the zeros in one file: one entity would be two."""
    one, two = (
        text(["k", "x"], lambda n, form=form: [form.format(n), str(n % 30)]) for form in ("{:05d}", "{}")
    )
    write(tmp_path, {"a.csv": one, "b.csv": two}, ", key: k")
    assert "WARNING: column 'k'" in (said := capsys.readouterr().out) and "which are one number" in said


def test_columns_that_differ_in_case_alone_are_named(tmp_path):
    """One file of a folder in capitals, and a setting."""
    files = {
        "a.csv": text(["Age", "x"], lambda n: ["1", "2"]),
        "b.csv": text(["AGE", "x"], lambda n: ["1", "2"]),
    }
    with pytest.raises(DataError, match="'Age' and 'AGE' differ in upper and lower case alone: rename one"):
        write(tmp_path, files)
    with pytest.raises(DataError, match="'age' and 'Age' differ in upper and lower case alone: rename one"):
        write(tmp_path, {"a.csv": files["a.csv"]}, ", features: [age]")


def test_a_mark_for_a_gap_that_is_declared_leaves_numbers(tmp_path):
    """The remedy of the warning."""
    content = text(["x"], lambda n: ["-" if n % 12 == 0 else f"{n}.5"])
    schema = write(tmp_path, {"rows.csv": content}, ", missing_values: ['-']")
    assert (schema.kinds["x"], schema.features["x"].nullable) == ("number", True)


@pytest.mark.parametrize("other", ["예 ", unicodedata.normalize("NFD", "예")])
def test_classes_that_look_the_same_are_refused(tmp_path, other):
    """Each would be a class of its own, and the model could not tell them apart."""
    content = "x,y\n" + "".join(f"{n % 30},{('예', '아니오', other)[n % 3]}\n" for n in range(ROWS))
    with pytest.raises(
        DataError, match="has the classes .*look the same.*in one way in the source"
    ) as raised:
        write(tmp_path, {"rows.csv": content})
    one, another = re.findall(r"classes ('.*') and ('.*'), which", str(raised.value))[0]
    assert unicodedata.normalize("NFC", one) != unicodedata.normalize(
        "NFC", another
    )  # a reader sees a difference


def test_characters_may_be_classes(tmp_path):
    """White space of two kinds is no white space at an end."""
    content = "x,y\n" + "".join(f'{n % 30},"{("a", " ", chr(9))[n % 3]}"\n' for n in range(ROWS))
    assert set(write(tmp_path, {"rows.csv": content}).classes) == {"a", " ", "\t"}


@pytest.mark.parametrize(
    ("files", "data", "error"),
    [
        ({"a.csv": text(["x", "x"], lambda n: [str(n), "1"])}, "", "more than one column named 'x'"),
        ({"a.csv": text([APART], lambda n: [str(n % 30)])}, ", features: [요금]", "look the same: rename the column"),
        (
            {name: text([one], lambda n: [str(n % 30)]) for name, one in (("a.csv", "요금"), ("b.csv", APART))},
            "", "b.csv does not have the columns of .*a.csv.* look the same",
        ),
        ({"a.csv": "요금 현황\n" + text(["x"], lambda n: [str(n)])}, "", "line 2: 2 cells.*If a title is above the header, delete"),
        ({"a.csv": "x, y\n" + "1, a\n2, b\n" * 40}, "", "'y' and ' y' look the same"),
    ],
)  # fmt: skip
def test_a_name_that_cannot_be_told_is_an_error_with_its_remedy(tmp_path, files, data, error):
    """Columns of one name, and names of the same look."""
    with pytest.raises(DataError, match=error):
        write(tmp_path, files, data)

"""CSV files: types over the whole file, dialects recognised, and errors that name file, line and setting."""

import bz2
import gzip
import io
import lzma
import zipfile

import pandas as pd
import pyarrow as pa
import pytest

from mlops_lib.errors import DataError
from mlops_lib.loaders.formats import delimited
from mlops_lib.loaders.formats.data_file import data_file
from mlops_lib.loaders.rows import Rows
from mlops_lib.settings.data import CsvSettings

TEXT, NUMBER, INTEGER, BOOLEAN = pa.string(), pa.float64(), pa.int64(), pa.bool_()


def rows_of(path, content=None, **more):
    """The rows of a file with this content (text: UTF-8)."""
    if content is not None:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return Rows([data_file(path)], **more)


def column(path, cells, **more):
    """Type and values of a column with these cells, beside a column of ones."""
    rows = rows_of(path, "a,b\n" + "".join(f"{cell},1\n" for cell in cells), **more)
    table = pa.concat_tables(rows.tables())
    return rows.schema.field("a").type, table["a"].to_pylist()


@pytest.mark.parametrize(
    ("cells", "kind", "values"),
    [
        (["1", "-2", "0"], INTEGER, [1, -2, 0]),
        (["1", "", "3"], INTEGER, [1, None, 3]),
        (["1", "NA", "3"], INTEGER, [1, None, 3]),
        (["1", " NaN ", "  ", "3"], INTEGER, [1, None, None, 3]),
        (["007", "7"], TEXT, ["007", "7"]),
        (["\u00a01", "2"], TEXT, ["\u00a01", "2"]),
        (["1", " 2\t", "3.5"], NUMBER, [1.0, 2.0, 3.5]),
        (["+7", "7"], TEXT, ["+7", "7"]),
        (["0x1F", "7"], TEXT, ["0x1F", "7"]),
        (["1_000", "7"], TEXT, ["1_000", "7"]),
        (["00.5", "1.5"], TEXT, ["00.5", "1.5"]),
        (["+0.5", "1.5"], TEXT, ["+0.5", "1.5"]),
        (["1", "2.5"], NUMBER, [1.0, 2.5]),
        (["1E2", "100"], NUMBER, [100.0, 100.0]),
        ([".5", "5.", "-0.25", "1e-3"], NUMBER, [0.5, 5.0, -0.25, 0.001]),
        (["1.5", "inf", "-Infinity"], NUMBER, [1.5, float("inf"), float("-inf")]),
        (["1.5", "N/A", "none", "null"], NUMBER, [1.5, None, None, None]),
        ([" 5", "6 "], NUMBER, [5.0, 6.0]),
        (["."], TEXT, ["."]),
        (["-"], TEXT, ["-"]),
        (["9223372036854775807", "1"], INTEGER, [2**63 - 1, 1]),
        (["12345678901234567890", "1"], TEXT, ["12345678901234567890", "1"]),
        (["true", "false", ""], BOOLEAN, [True, False, None]),
        (["TRUE", "FALSE"], BOOLEAN, [True, False]),
        (["True", "false"], TEXT, ["True", "false"]),
        (["True", "NA"], TEXT, ["True", "NA"]),
        (["True", "1"], TEXT, ["True", "1"]),
        (["None", "Mild", "Severe", ""], TEXT, ["None", "Mild", "Severe", None]),
        (["NA", "NA"], TEXT, ["NA", "NA"]),
        (["", ""], NUMBER, [None, None]),
        (["2026-01-31", "2026-02-01"], TEXT, ["2026-01-31", "2026-02-01"]),
        (["가", "é"], TEXT, ["가", "é"]),
    ],
)
def test_a_column_has_the_type_that_fits_every_cell(tmp_path, cells, kind, values):
    """Text stays as written; a token such as NA is missing in a column of numbers alone."""
    assert column(tmp_path / "a.csv", cells) == (kind, values)


@pytest.mark.parametrize("odd", ["x", "007", "1.5", "NA", "", "99999999999999999999"])
def test_the_last_cell_of_a_large_file_counts(tmp_path, monkeypatch, odd):
    """The type is that of all cells, not of the first block."""
    monkeypatch.setattr(delimited, "BLOCK_BYTES", 1000)
    kind, values = column(tmp_path / "a.csv", [*map(str, range(2000)), odd])
    assert len(values) == 2001
    assert kind == (NUMBER if odd == "1.5" else INTEGER if odd in ("NA", "") else TEXT)
    assert values[:2] == (["0", "1"] if kind == TEXT else [0, 1])


@pytest.mark.parametrize("at", [0, 1000, 2000])
def test_a_block_of_gaps_alone_leaves_numbers(tmp_path, monkeypatch, at):
    """A sparse column has blocks with nothing but NA: it was text from there on, and its numbers were categories."""
    monkeypatch.setattr(delimited, "BLOCK_BYTES", 1000)
    cells = [*map(str, range(at)), *["NA"] * 1000, *map(str, range(at, 2000))]
    kind, values = column(tmp_path / "a.csv", cells)
    assert kind == INTEGER and [one for one in values if one is not None] == list(range(2000))


def test_a_file_of_gaps_alone_leaves_the_numbers_of_others(tmp_path):
    for name, cells in (("a", ("1", "2")), ("b", ("NA", "N/A"))):
        (tmp_path / f"{name}.csv").write_text("".join(f"{cell},1\n" for cell in ("x", *cells)))
    rows = Rows([data_file(tmp_path / "a.csv"), data_file(tmp_path / "b.csv")])
    assert pa.concat_tables(rows.tables())["x"].to_pylist() == [1, 2, None, None]


def test_the_four_keys_of_case_four(tmp_path):
    """007 and 7, 1E2 and 100 are four keys; a key is never a number with a fraction, nor missing as NA."""
    kind, values = column(tmp_path / "a.csv", ["007", "7", "1E2", "100"], key="a")
    assert (kind, values) == (TEXT, ["007", "7", "1E2", "100"])
    assert column(tmp_path / "a.csv", ["1E2", "100"], key="a") == (TEXT, ["1E2", "100"])
    assert column(tmp_path / "a.csv", ["1", "NA"], key="a") == (TEXT, ["1", "NA"])
    assert column(tmp_path / "a.csv", ["true", "false"], key="a") == (TEXT, ["true", "false"])
    assert column(tmp_path / "a.csv", ["1", "2"], key="a") == (INTEGER, [1, 2])


def test_missing_values_that_are_declared_are_missing_in_text_too(tmp_path):
    """data.missing_values holds for every column."""
    assert column(tmp_path / "a.csv", ["x", "?", "None"], missing=("?",)) == (TEXT, ["x", None, "None"])
    assert column(tmp_path / "a.csv", ["1", "-999"], missing=("-999",)) == (INTEGER, [1, None])
    assert column(tmp_path / "a.csv", ["1", "?", "NA"], missing=("?",)) == (INTEGER, [1, None, None])


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("name", ["a.csv", "A.TSV"])
def test_separators_are_recognised(tmp_path, separator, name):
    """The separator gives every row as many cells as the header, quotes and newlines in cells included."""
    lines = ["id", "a text", "y"], ["1", '"x, y; z | w\n2"', "0"], ["2", '"he said ""no"""', "1"]
    rows = rows_of(tmp_path / name, "\n".join(separator.join(line) for line in lines) + "\n")
    table = pa.concat_tables(rows.tables())
    assert table.column_names == ["id", "a text", "y"]
    assert table["a text"].to_pylist() == ["x, y; z | w\n2", 'he said "no"']


def test_a_decimal_comma_is_recognised(tmp_path):
    """In the columns that have one; a column with a point and a column with a comma are an error."""
    rows = rows_of(tmp_path / "a.csv", "a;b;c\n1,5;x;1\n-0,25;1,2,3;2\n")
    assert [field.type for field in rows.schema] == [NUMBER, TEXT, INTEGER]
    assert pa.concat_tables(rows.tables())["a"].to_pylist() == [1.5, -0.25]
    with pytest.raises(DataError, match=r"a\.csv: the comma in column 'a' and 'b'.*data\.csv: \{decimal"):
        _ = rows_of(tmp_path / "a.csv", "a;b\n1,5;1.5\n").schema


def test_a_comma_that_may_stand_between_thousands_needs_the_setting(tmp_path):
    """1,234 is 1.234 or 1234: the error names the setting, and the setting decides."""
    content = 'a,b\n"1,234",1\n"12,500",2\n'
    with pytest.raises(
        DataError, match=r"column 'a' may be a decimal comma or stand between thousands.*decimal"
    ):
        _ = rows_of(tmp_path / "a.csv", content).schema
    assert rows_of(tmp_path / "a.csv", csv=CsvSettings(decimal=".")).schema.field("a").type == TEXT
    rows = rows_of(tmp_path / "a.csv", csv=CsvSettings(decimal=","))
    assert pa.concat_tables(rows.tables())["a"].to_pylist() == [1.234, 12.5]
    rows = rows_of(tmp_path / "a.csv", 'a,b\n"1,234",1\n"12,5",2\n')
    assert pa.concat_tables(rows.tables())["a"].to_pylist() == [1.234, 12.5]


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp949", "euc-kr"]
)
@pytest.mark.parametrize("late", [False, True])
def test_korean_encodings_are_recognised(tmp_path, encoding, late):
    """With and without a byte order mark, and where the first letter beyond ASCII comes after the head of the file."""
    filler = "".join(f"{i},abc\n" for i in range(40_000 if late else 5))
    content = ("번호,이름\n" if not late else "id,name\n") + filler + "7,홍길동\n8,서울특별시 강남구\n"
    rows = rows_of(tmp_path / "a.csv", content.encode(encoding))
    table = pa.concat_tables(rows.tables())
    assert table.column_names == (["번호", "이름"] if not late else ["id", "name"])
    assert table.column(1).to_pylist()[-2:] == ["홍길동", "서울특별시 강남구"]
    assert table.column(0).to_pylist()[:2] == [0, 1]


def test_latin_1_is_recognised_and_other_encodings_are_asked_for(tmp_path):
    """Single letters with accents are latin-1; Japanese bytes name the setting, which reads them."""
    rows = rows_of(tmp_path / "a.csv", "name,y\ncafé,1\nMünchen,2\nÀ la carte,3\n".encode("latin-1"))
    assert pa.concat_tables(rows.tables())["name"].to_pylist() == ["café", "München", "À la carte"]
    japanese = "name,y\n東京都港区,1\n大阪,2\n".encode("shift_jis")
    with pytest.raises(DataError, match=r"a\.csv is no UTF-8 text.*data\.csv: \{encoding"):
        _ = rows_of(tmp_path / "a.csv", japanese).schema
    rows = rows_of(tmp_path / "a.csv", csv=CsvSettings(encoding="shift_jis"))
    assert pa.concat_tables(rows.tables())["name"].to_pylist() == ["東京都港区", "大阪"]
    with pytest.raises(DataError, match=r"a\.csv is not text in utf-8"):
        _ = rows_of(tmp_path / "a.csv", csv=CsvSettings(encoding="utf-8")).schema
    with pytest.raises(DataError, match=r"a\.csv is not text in klingon"):
        _ = rows_of(tmp_path / "a.csv", csv=CsvSettings(encoding="klingon")).schema


@pytest.mark.parametrize(("line", "cells"), [("5,6", 2), ("5,6,7,8", 4)])
def test_a_ragged_row_is_named_by_its_line(tmp_path, line, cells):
    """Lines are counted from 1, newlines in quotes too."""
    content = f'a,b,c\n1,"x\ny",3\n2,3,4\n{line}\n'
    with pytest.raises(DataError, match=rf"a\.csv, line 5: {cells} cells, and the header has 3.*separator"):
        _ = rows_of(tmp_path / "a.csv", content).schema


def test_names_in_the_header(tmp_path):
    """Twice the same name, or numbers, are an error; an empty name gets the one that pandas gives."""
    with pytest.raises(DataError, match=r"a\.csv has more than one column named 'x'"):
        _ = rows_of(tmp_path / "a.csv", "x,y,x\n1,2,3\n").schema
    with pytest.raises(DataError, match=r"a\.csv has no header: its first line is 1, 2\.5"):
        _ = rows_of(tmp_path / "a.csv", "1,2.5\n3,4.5\n").schema
    content = ",a\n0,5\n"
    assert rows_of(tmp_path / "a.csv", content).schema.names == list(pd.read_csv(tmp_path / "a.csv").columns)


def test_a_separator_that_cannot_be_told_is_asked_for(tmp_path):
    """Two separators fit: the error names the setting, which decides."""
    content = "a,b|c,d\n1,2|3,4\n"
    with pytest.raises(DataError, match=r"separators ',' and '\|'.*separator: ','"):
        _ = rows_of(tmp_path / "a.csv", content.replace("b|c", "b|c").replace("a,b|c,d", "a|b,c")
                    .replace("1,2|3,4", "1|2,3")).schema  # fmt: skip
    assert rows_of(tmp_path / "a.csv", csv=CsvSettings(separator="|")).schema.names == ["a", "b,c"]
    rows = rows_of(tmp_path / "a.csv", "a~b\n1~2\n", csv=CsvSettings(separator="~"))
    assert rows.schema.names == ["a", "b"]
    rows = rows_of(tmp_path / "a.csv", "a,b\n'x, y',2\n", csv=CsvSettings(quote="'"))
    assert pa.concat_tables(rows.tables())["a"].to_pylist() == ["x, y"]


def test_lines_that_are_blank_are_no_rows(tmp_path):
    """Line ends of Windows, blank lines, and a last line without an end."""
    rows = rows_of(tmp_path / "a.csv", "\r\na,b\r\n1,x\r\n\r\n2,y")
    assert pa.concat_tables(rows.tables()).to_pydict() == {"a": [1, 2], "b": ["x", "y"]}
    assert rows.count() == 2


def _zipped(data, names=("inside.csv",)):
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name in names:
            archive.writestr(name, data)
    return made.getvalue()


COMPRESS = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zip": lambda data: _zipped(data),
    ".zst": lambda data: pa.compress(data, "zstd", asbytes=True),
}


@pytest.mark.parametrize("ending", COMPRESS)
@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "JSON"])
def test_compressed_files_are_read(tmp_path, ending, kind):
    """Every compression, every format of text, endings of any case."""
    frame = pd.DataFrame({"id": range(500), "text": [f"é{i}" for i in range(500)]})
    if kind.lower() in ("csv", "tsv"):
        content = frame.to_csv(index=False, sep="\t" if kind == "tsv" else ",")
    else:
        content = frame.to_json(orient="records", lines=kind == "jsonl")
    path = tmp_path / f"a.{kind}{ending.upper() if kind == 'JSON' else ending}"
    rows = rows_of(path, COMPRESS[ending](content.encode()))
    assert pa.concat_tables(rows.tables()).to_pydict() == frame.to_dict("list")
    if ending == ".zip":
        path.write_bytes(_zipped(content.encode(), ["a.csv", "b.csv"]))
        with pytest.raises(DataError, match="it has 2 files inside"):
            _ = rows_of(path).schema
    path.write_bytes(b"not compressed at all" * 10)
    with pytest.raises(DataError, match="a.*cannot be read|a.*not"):
        _ = rows_of(path).schema


def test_quotes_in_quoted_cells_are_doubled_or_escaped(tmp_path):
    """Either is recognised; a quote that is neither, or a cell without an end, is an error with its line."""
    rows = rows_of(tmp_path / "a.csv", 'a,b\n"x \\"y\\", z",1\nw,2\n')
    assert pa.concat_tables(rows.tables()).to_pydict() == {"a": ['x "y", z', "w"], "b": [1, 2]}
    rows = rows_of(tmp_path / "a.csv", 'a,b\n5" pipe,1\nC:\\temp,2\n')
    assert pa.concat_tables(rows.tables())["a"].to_pylist() == ['5" pipe', "C:\\temp"]
    for content in ('a,b\nx,1\n"5" pipe,2\n', 'a,b\nx,1\n"5 pipe,2\n'):
        with pytest.raises(DataError, match=r"a\.csv, line [34]: a quote \" inside a quoted cell.*data\.csv"):
            _ = rows_of(tmp_path / "a.csv", content).schema
    rows = rows_of(tmp_path / "a.csv", csv=CsvSettings(quote="~"))
    assert pa.concat_tables(rows.tables())["a"].to_pylist() == ["x", '"5 pipe']


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(range(1, 128)) * 9, "is no text: it has zero bytes"),
        (b"a,b", "has no rows"),
        (b"\n\n", "is empty"),
        (b"# made by hand\na,b\n1,2\n", "line 2: 2 cells, and the header has 1"),
    ],
)
def test_what_is_no_table_is_said_so(tmp_path, content, words):
    """Bytes, a header alone, blank lines, a line before the header."""
    with pytest.raises(DataError, match=words):
        _ = rows_of(tmp_path / "a.csv", content).schema


@pytest.mark.slow
def test_thousands_of_columns_are_read(tmp_path):
    """A header longer than the bytes that the dialect is recognised from."""
    names = [f"a_long_name_of_a_column_{i}" for i in range(12_000)]
    rows = rows_of(tmp_path / "a.csv", ",".join(names) + "\n" + ",".join("1" for _ in names) + "\n")
    assert rows.schema.names == names and rows.count() == 1


def test_typographic_marks_of_windows_are_read(tmp_path):
    """Bytes 0x80 to 0x9f are marks in cp1252, and control characters that nobody writes in latin-1."""
    names = ["naïve", "café", "it’s", "cœur", "–"]
    content = "a,b\n" + "".join(f"{name},1\n" for name in names)
    rows = rows_of(tmp_path / "a.csv", content.encode("cp1252"))
    assert pa.concat_tables(rows.tables())["a"].to_pylist() == names


def test_japanese_is_not_read_as_another_encoding(tmp_path):
    """Katakana in Shift-JIS look like letters of cp1252, and like rare syllables of cp949."""
    content = "a,b\n" + "カナ,1\n" * 20
    with pytest.raises(DataError, match="encoding cannot be recognised"):
        rows_of(tmp_path / "a.csv", content.encode("shift_jis")).schema  # noqa: B018


def test_quotes_with_a_backslash_after_the_head(tmp_path):
    """The whole file decides how quotes are written, not its first 256 kB."""
    plain = "".join(f'"plain text of {i}",1\n' for i in range(20_000))
    rows = rows_of(tmp_path / "a.csv", f'a,b\n{plain}"say \\"hi\\" twice",1\n')
    assert pa.concat_tables(rows.tables())["a"].to_pylist()[-1] == 'say "hi" twice'
    doubled = rows_of(tmp_path / "b.csv", f'a,b\n{plain}"say ""hi"" twice",1\n')
    assert pa.concat_tables(doubled.tables())["a"].to_pylist()[-1] == 'say "hi" twice'
    with pytest.raises(DataError, match=r"line 20002: a quote \" inside a quoted cell"):
        rows_of(tmp_path / "c.csv", f'a,b\n{plain}"say "hi" twice",1\n').schema  # noqa: B018


def test_a_second_header_is_named(tmp_path):
    """Files joined with `cat`: the names made text of every column."""
    one = "a,b\n" + "1,2.5\n" * 3
    with pytest.raises(DataError, match=r"a.csv, row 3 \(counted from 0\) repeats the header"):
        rows_of(tmp_path / "a.csv", one + one).schema  # noqa: B018
    assert rows_of(tmp_path / "b.csv", "a,b\na,c\nb,b\n").count() == 2

"""Proposals for label, key and time of a table, each with its reason."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from mlops_lib.cli.init.table import Table
from mlops_lib.columns.schema import Column

#: Usual names of labels; a column with one of them is the label, if it is the only one.
LABELS = [
    "target",
    "label",
    "labels",
    "y",
    "class",
    "churn",
    "churned",
    "default",
    "defaulted",
    "survived",
    "outcome",
    "response",
    "converted",
    "conversion",
    "species",
    "diagnosis",
    "fraud",
    "attrition",
    "purchase",
    "purchased",
    "clicked",
    "repurchased",
    "이탈",
    "이탈여부",
    "타겟",
    "타깃",
    "라벨",
    "레이블",
    "정답",
    "해지",
    "해지여부",
    "결과",
    "구매여부",
    "연체",
    "연체여부",
    "부도",
    "부도여부",
]
#: Words around such a name: is_fraud, churn_flag, target_y.
AROUND = ("is", "has", "flag", "yn", "binary", "value", "여부")
#: Things that have ids; rows of one of them belong into one split.
ENTITIES = [
    "user",
    "customer",
    "client",
    "patient",
    "member",
    "account",
    "subscriber",
    "person",
    "employee",
    "household",
    "visitor",
    "player",
    "student",
    "고객",
    "회원",
    "사용자",
    "환자",
    "계정",
    "가입자",
    "직원",
    "학생",
]
#: Things whose rows are ranked together, the likeliest first, and things that have a series of numbers each.
GROUPS = [
    "query",
    "qid",
    "search",
    "request",
    "session",
    "group",
    "impression",
    "list",
    "basket",
    *ENTITIES,
    "질의",
    "검색",
]
SERIES = ["series", "store", "shop", "product", "item", "sku", "site", "station", "sensor", "meter", "machine", "device",
          "region", "branch", "ticker", "symbol", "매장", "상품", "지점", "지역", "센서"]  # fmt: skip
_ID = re.compile(
    rf"({'|'.join(ENTITIES)})?(id|ids|key|uuid|guid|no|num|number|code)|\w*(번호|아이디|코드|키)"
)
#: Names of the time of a row; other dates (signup, birthday) are features.
_TIME = re.compile(
    r"^(time|date|timestamp|datetime|ts|event_?(time|date)|(time|date)_?\w*(hour|day|stamp)|created(_?(at|date))?"
    r"|날짜|일자|일시|시각|시간|기준일자?|거래일자?|주문일자?)$"
)
_MONTH = r"(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*"
#: A date in other forms than 2026-01-31: 2026/1/31, 31.01.2026, 20260131, 31 Jan 2026, Jan 31, 2026,
#: 2026년 1월 31일.
_DATE = re.compile(
    r"(\d{1,4}[/. -]+\d{1,2}[/. -]+\d{1,4}\.?"
    r"|(19|20)\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])"
    rf"|\d{{1,4}}[ /.-]*{_MONTH}[ /.,-]*\d{{1,4}}|{_MONTH}[ .]*\d{{1,2}},? *\d{{4}}"
    r"|\d{2,4}년 *\d{1,2}월 *\d{1,2}일)([ T].*)?",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Proposal:
    """A column for a role; "" for none.

    Attributes:
        value: The column.
        reason: Why, for people.
        certain: Whether it may be taken without being asked for.
        others: Further candidates.
    """

    value: str
    reason: str
    certain: bool = True
    others: tuple[str, ...] = ()


def label(table: Table, taken: tuple[str, ...] = ()) -> Proposal:
    """The column to predict: one with a usual name, else the last one that is a number or has few values.

    Args:
        table: The table.
        taken: Columns that the user gave another role.
    """
    columns = {name: column for name, column in table.columns.items() if name not in taken} or table.columns
    names = list(columns)
    usual = [name for name in names if _is_label(name)]
    few = [name for name, column in columns.items() if _has_few_values(column)]
    if len(usual) == 1:
        return Proposal(usual[0], "a usual name of a label")
    last = names[-1:] if few[-1:] == names[-1:] or _is_number(columns[names[-1]]) else []
    candidates = list(dict.fromkeys([*usual, *last, *reversed(few), *reversed(names)]))
    reason = "the last column" if last or not few else "the last column with few values"
    if usual:
        reason = f"{' and '.join(usual)} are usual names of a label"
    return Proposal(candidates[0], reason, certain=False, others=tuple(candidates[1:5]))


def key(table: Table, label_name: str, taken: tuple[str, ...] = ()) -> Proposal:
    """The column that tells entities apart: distinct in every row, or ids of customers,
    patients and the like.

    Args:
        table: The table.
        label_name: Column to predict.
        taken: Further columns with a role.
    """
    from mlops_lib.columns.kinds import SIZES  # imports NumPy

    found: list[tuple[int, str, str]] = []
    for name, column in table.columns.items():
        if name == label_name or name in taken or column.nullable:
            continue
        rows = len(table.sample)
        words = _words(name)
        is_id = bool(_ID.fullmatch(words[-1])) or words[-1] in ENTITIES
        names = column.kind in ("category", "integer", "text") or (is_id and _is_whole(table, name))
        if not names or _looks_like_dates(table, name):
            continue
        is_entity = is_id and any(entity in "".join(words) for entity in ENTITIES)
        is_size = any(hint in column.reason for hint in SIZES)
        if column.distinct == rows and (is_id or (column.role == "ignored" and not is_size)):
            found.append((0 if is_id else 2, name, "distinct in every row"))
        elif (is_entity or words == ["id"]) and column.distinct > max(20, rows / 1000):
            each = rows / column.distinct
            stay = "" if table.loader.is_ready_made else ": rows of one value stay in one split"
            found.append((1, name, f"{each:.1f} rows a value{stay}"))
    if not found:
        decides = "the folder or file it is in" if table.loader.is_ready_made else "its place"
        return Proposal("", f"no column identifies a row: {decides} decides its split")
    _, name, reason = min(found, key=lambda one: one[0])
    return Proposal(name, reason, others=tuple(other for _, other, _ in found if other != name))


def group(table: Table, label_name: str, taken: tuple[str, ...] = ()) -> Proposal:
    """The column whose rows are ranked together, such as query_id. Arguments as for `key`."""
    found = _repeated(table, GROUPS, label_name, taken)
    if not found:
        return Proposal("", "no column has a name such as query_id, and several rows a value")
    each = len(table.sample) / table.columns[found[0]].distinct
    return Proposal(found[0], f"{each:.1f} rows a value are ranked together", others=tuple(found[1:]))


def series(table: Table, label_name: str, taken: tuple[str, ...] = ()) -> Proposal:
    """The column that has one row for each time, such as store. Arguments as for `key`;
    the time is one of `taken`."""
    times = [name for name in taken if name in table.names and name != label_name]
    rows = table.sample.to_pandas()
    if any(not rows.duplicated([name]).any() for name in times):
        return Proposal("", "each time has one row, so all rows are one series")
    found = [
        name
        for name in _repeated(table, SERIES, label_name, taken)
        if any(not rows.duplicated([name, time]).any() for time in times)
    ]
    if not found:
        return Proposal("", "no column with a name such as store has one row for each time")
    return Proposal(found[0], "one row for each of its values and time", others=tuple(found[1:]))


def of_key(task: str) -> Callable[[Table, str, tuple[str, ...]], Proposal]:
    """The function that proposes the key of a task: an entity, a group or a series."""
    return {"ranking": group, "forecast": series}.get(task, key)


def _repeated(table: Table, names: list[str], label_name: str, taken: tuple[str, ...]) -> list[str]:
    """Columns with such a name and two rows a value or more, in the order of the names;
    user_id before user_age."""
    found = []
    for name, column in table.columns.items():
        fits = column.kind in ("category", "integer", "text") and not column.nullable
        if name in (label_name, *taken) or not fits or not 1 < column.distinct <= len(table.sample) / 2:
            continue
        words = _words(name)
        joined = "".join(words)
        if place := [at for at, word in enumerate(names) if word in joined]:
            is_property = not (_ID.fullmatch(words[-1]) or joined.endswith(names[place[0]]))
            found.append((place[0], is_property, name))
    return [name for _, _, name in sorted(found)]


def time(table: Table, label_name: str, key_name: str) -> Proposal:
    """The time of a row by its name, unless the rows of a key are to stay in one split."""
    dates = [
        name
        for name, column in table.columns.items()
        if column.kind == "datetime" and name != label_name and not _is_time_of_day(table, name)
    ]
    named = [name for name in dates if _TIME.match(name.lower())]
    if len(named) != 1:
        return Proposal("", "no date with a name such as date or timestamp", others=tuple(dates))
    if key_name and table.columns[key_name].distinct < len(table.sample):
        return Proposal("", f"rows of one {key_name} stay in one split", others=tuple(dates))
    return Proposal(named[0], f"{named[0]} is the time of a row: the latest rows are the test split")


def _is_time_of_day(table: Table, name: str) -> bool:
    from mlops_lib.columns.dates import microseconds_of_day  # imports NumPy

    try:
        microseconds_of_day(next(value for value in table.some_values(name) if value is not None))
    except (ValueError, StopIteration):
        return False
    return True


def _is_whole(table: Table, name: str) -> bool:
    """Whether a column has whole numbers alone, which may be written as 1.0."""
    values = [value for value in table.some_values(name) if value is not None]
    return table.columns[name].kind == "number" and all(float(value).is_integer() for value in values)


def _looks_like_dates(table: Table, name: str) -> bool:
    """Whether a column is named as a time, or each of its values is a date in a usual form."""
    values = [value for value in table.some_values(name) if value is not None]
    return bool(_TIME.match(name.lower())) or all(_DATE.fullmatch(str(value).strip()) for value in values)


def _is_label(name: str) -> bool:
    words = _words(name)
    core = [word for word in words if word not in AROUND] or words
    return "".join(core) in LABELS or "".join(words) in LABELS


def _is_number(column: Column) -> bool:
    """Whether a column has numbers that differ, and are no row numbers."""
    return column.kind in ("integer", "number") and column.role == "feature" and column.distinct > 1


def _has_few_values(column: Column) -> bool:
    return column.kind in ("category", "boolean", "integer") and 2 <= column.distinct <= 10


def _words(name: str) -> list[str]:
    """The words of a name in lower case: customerID, customer_id and Customer Id are customer, id."""
    spaced = re.sub(r"([a-z0-9가-힣])([A-Z])", r"\1 \2", name)
    return re.findall(r"[^\W_]+", spaced.lower()) or [""]

"""The schema: roles, features and their order, and the written columns."""

import pytest

from mlops_lib.columns.schema import Column, Schema

SCHEMA = Schema(
    (
        Column("id", "category", "key"),
        Column("n", "number"),
        Column("uuid", "category", "ignored"),
        Column("c", "category"),
        Column("w", "number", "weight"),
        Column("y", "category", "label"),
        Column("gone", "text", "unused"),
    ),
    ("a", "b"),
)


def test_roles_are_found_by_name():
    """Each role has the name of its column, or an empty text."""
    assert (SCHEMA.key, SCHEMA.label, SCHEMA.weight, SCHEMA.time) == ("id", "y", "w", "")
    assert SCHEMA.kinds == {"n": "number", "c": "category"}


def test_a_dataset_has_the_special_columns_the_features_and_the_label():
    """Ignored columns are written, unused ones are not."""
    assert SCHEMA.used == ["id", "w", "n", "uuid", "c", "y"]


def test_chosen_features_come_in_their_order():
    """An ignored column can be chosen; those that are not are no longer in the dataset. The classes stay."""
    chosen = SCHEMA.with_features(["uuid", "n"])
    assert list(chosen.features) == ["uuid", "n"] and chosen.used == ["id", "w", "uuid", "n", "y"]
    assert chosen.classes == ("a", "b")


@pytest.mark.parametrize(
    ("column", "plain"),
    [
        (Column("x", "integer", stored="int64"), True),
        (Column("x", "boolean", stored="bool"), True),
        (Column("x", "number", stored="string"), False),
        (Column("x", "number", stored="double", infinite=True), False),
        (Column("x", "category", stored="int64"), False),
    ],
)
def test_plain_columns_are_taken_as_they_are(column, plain):
    """Numbers and booleans, finite and stored as such."""
    assert Schema((column,)).is_plain == plain


def test_a_schema_survives_json():
    """Classes keep their types; a schema of an older version, without the newer facts, is read."""
    for classes in [("a", "é"), (False, True), (1, 2), ()]:
        schema = Schema(SCHEMA.columns, classes)
        assert Schema.from_json(schema.to_json()) == schema
    old = {"columns": [{"name": "x", "kind": "number", "role": "feature"}], "classes": []}
    assert Schema.from_dict(old).features["x"] == Column("x", "number")

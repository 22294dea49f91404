"""The columns of a table: their kinds and roles, inferred once, and the encoder that turns rows into arrays.

`infer` and `fit` run in training. The modules of `PORTABLE` need NumPy alone (images: Pillow too;
`source_rows`: pandas too) and import nothing else of this library: a logged model carries copies of them.
"""

#: Modules that a logged model carries, as a package of any name.
PORTABLE = (
    "__init__",
    "schema",
    "text",
    "date_forms",
    "dates",
    "part",
    "number",
    "lists",
    "category",
    "datetimes",
    "ngrams",
    "images",
    "encode",
    "json_rows",
    "source_rows",
)

"""The columns of a table: their kinds and roles, inferred once, and the encoder that turns rows into arrays.

`schema`, `text` and `encode` need NumPy alone and import nothing else of this library: a logged model carries copies of
them. `infer` and `fit` run in training.
"""

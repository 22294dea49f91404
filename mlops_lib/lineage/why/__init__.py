"""Explains a prediction or a version: each link of its past, from the model's files to the code,
hashed again."""

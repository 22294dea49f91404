"""The code of the user's own that a model needs: found in the source, packaged,
imported apart from other models."""

"""`fake:` models: deterministic and offline."""

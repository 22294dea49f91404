"""HTTP: gateway, keys, problem objects, OpenAPI."""

"""The protocols of inference; each decodes requests and encodes answers."""

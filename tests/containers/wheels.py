"""An index for image builds with the torch wheel that pip's find-links has, if there is one."""

import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

#: Always the same, since it is part of the build arguments and so of the build cache's key.
PORT = 28765


@contextmanager
def index() -> Iterator[list[str]]:
    """Options for ``docker build``: an index of the local torch wheel, or none where there is no such wheel."""
    wheels = [wheel for folder in _folders() for wheel in folder.glob("torch-*.whl")]
    if not wheels:
        yield []
        return
    with tempfile.TemporaryDirectory(prefix="wheels-") as folder:
        project = Path(folder) / "torch"
        project.mkdir()
        for wheel in wheels:
            (project / wheel.name).symlink_to(wheel)
        handler = partial(_Quiet, directory=folder)
        with _server(handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            yield ["--network", "host", "--build-arg", f"TORCH_INDEX=http://127.0.0.1:{server.server_port}"]
            server.shutdown()


def _server(handler: Any) -> ThreadingHTTPServer:
    try:
        return ThreadingHTTPServer(("127.0.0.1", PORT), handler)
    except OSError:  # somebody has the port: another run of these tests, say
        return ThreadingHTTPServer(("127.0.0.1", 0), handler)


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Log nothing."""


def _folders() -> list[Path]:
    """Folders in pip's find-links, from its files and its environment."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    values = [line.partition("=")[2].strip("'\"") for line in listed if ".find-links=" in line]
    words = [word.removeprefix("file://") for value in values for word in value.replace("\\n", " ").split()]
    return [Path(word) for word in dict.fromkeys(words) if Path(word).is_dir()]

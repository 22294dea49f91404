"""The record of an executed notebook: stored in MLflow as .ipynb and as HTML, above all when it failed."""

import contextlib
import shutil
import tempfile
import threading
import warnings
from concurrent.futures import Future
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from mlops_lib import tracking
from mlops_lib.errors import MlopsError
from mlops_lib.files import sha256
from mlops_lib.imports import JSON_SCHEMA_EXTRAS, without
from mlops_lib.redact import mask_secrets
from mlops_lib.settings import Settings

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

FOLDER = "notebooks"
#: On the parent run, with the notebook's name appended: SHA-256 of the executed notebook as it is stored.
RECORD_DIGEST_TAG = "mlops.record_sha256"
#: An interrupt inside an import can leave the importing thread stuck,
#: so an interrupted step waits only this long.
STUCK_TIMEOUT_S = 30


class Record:
    """Stores the record of one notebook on the parent run, and sets that run's status.

    MLflow and nbconvert take seconds to import. The notebook runs in another process,
    so this one imports them in a thread meanwhile.

    Args:
        settings: Resolved settings.
        parent_run_id: Run to keep the record in.
    """

    def __init__(self, settings: Settings, parent_run_id: str) -> None:
        self.settings, self.run_id = settings, parent_run_id
        self._ready: Future[tuple[MlflowClient, Any]] = Future()

    def __enter__(self) -> Self:
        # Before the thread, which imports scrapbook and with it papermill:
        # of two threads that import modules that import each other, Python fails one.
        with without(JSON_SCHEMA_EXTRAS):
            import papermill  # noqa: F401

        # A daemon thread: after an interrupt inside an import,
        # Python's lock of that module is never released, and the process could not end.
        threading.Thread(target=self._fetch, daemon=True, name="record").start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            client, _ = self._ready.result(STUCK_TIMEOUT_S if isinstance(error, KeyboardInterrupt) else None)
        except Exception:  # MLflow is away, which `keep` has reported, or stuck: then the runner ends the run
            return
        tracking.end(client, self.run_id, error)

    def keep(self, executed: Path, source: Path, ended: BaseException | None = None) -> str:
        """Log the executed notebook as .ipynb and HTML; make a local copy when MLflow is away.

        Args:
            executed: The file that Papermill wrote; may hold only the first cells, or be missing.
            source: The notebook that was run.
            ended: The error before the last cell; the record begins with it.

        Returns:
            Where a user reads the record.
        """
        if not executed.is_file():
            return "nothing: no cell was run"
        try:
            _mask(executed)
        except (OSError, UnicodeDecodeError) as error:  # nothing below may store it as it is
            return f"lost: secrets could not be masked in it ({error})"
        try:
            if ended:
                _head(executed, mask_secrets(str(ended)) or "Interrupted.")
            client, exporter = self._ready.result()
            client.set_tag(self.run_id, f"mlops.notebook_sha256.{source.stem}", sha256(source))
            _note_digest(client, self.run_id, executed)
            client.log_artifact(self.run_id, str(executed), FOLDER)
            client.log_artifact(self.run_id, str(_to_html(executed, exporter)), FOLDER)
            return tracking.artifact_location(client.get_run(self.run_id), f"{FOLDER}/{executed.stem}.html")
        except Exception as error:  # object stores raise errors of their own; the record must survive each
            return self._keep_here(executed, error, tracking.status_after(ended or error))

    def outputs(self, step: str, outputs: dict[str, Any]) -> None:
        """Log the notebook's outputs to the parent run.

        Raises:
            MlopsError: MLflow cannot be reached.
        """
        if error := self._ready.exception():
            raise MlopsError(f"The notebook ran, but its outputs cannot be logged: {error}") from error
        from mlflow.exceptions import MlflowException

        try:
            tracking.log_outputs(self.run_id, step, outputs)
        except MlflowException as error:
            raise MlopsError(
                f"The notebook ran, but its outputs cannot be logged: {error.message}"
            ) from error

    def _fetch(self) -> None:
        try:
            self._ready.set_result(self._prepare())
        except BaseException as error:
            self._ready.set_exception(error)

    def _prepare(self) -> "tuple[MlflowClient, Any]":
        import scrapbook  # noqa: F401 - imported here, in the background, for the reader of the outputs

        client = tracking.connect(self.settings)
        client.update_run(self.run_id, status="RUNNING")
        return client, _exporter()

    def _keep_here(self, executed: Path, error: Exception, status: str) -> str:
        """Copy the record to the work folder, for `send_kept`;
        to the temporary folder when that disk is full too."""
        elsewhere = Path(tempfile.gettempdir()) / "mlops" / "records"
        for place, promise in ((_kept(self.settings), "; the next run sends it there"), (elsewhere, "")):
            folder = place / self.run_id / FOLDER
            try:
                folder.mkdir(parents=True, exist_ok=True)
                kept = shutil.copy(executed, folder)
                with contextlib.suppress(Exception):  # without the page there is still the notebook
                    kept = _to_html(Path(kept), _exporter())
                (folder.parent / "status").write_text(status)
            except OSError:
                continue
            return f"{kept} (MLflow could not keep it: {error}{promise})"
        return f"lost: MLflow could not keep it ({error}), and no disk here has room"


def send_kept(settings: Settings) -> None:
    """Log the records that were stored locally while MLflow was away, and set the final status of their runs.

    A record that MLflow still refuses stays for the next time. Records in the temporary folder are not sent,
    because any user of the machine can write there.
    """
    if not (folders := [file.parent for file in _kept(settings).glob("*/status")]):
        return
    client = tracking.connect(settings)
    for folder in folders:
        try:
            for executed in (folder / FOLDER).glob("*.ipynb"):
                _note_digest(client, folder.name, executed)
            client.log_artifacts(folder.name, str(folder / FOLDER), FOLDER)
            run, kept = client.get_run(folder.name).info, folder / "status"
            # Only if the run was not ended since by a later, successful try.
            if run.status == "RUNNING" or (run.end_time or 0) < kept.stat().st_mtime * 1000:
                client.set_terminated(folder.name, kept.read_text())
                tracking.end_children(client, folder.name, kept.read_text())
        except Exception as error:  # object stores raise errors of their own, or another run was faster
            print(f"The record stays in {folder}, because MLflow refuses it: {error}", flush=True)
            continue
        shutil.rmtree(folder, ignore_errors=True)


def _note_digest(client: "MlflowClient", run_id: str, executed: Path) -> None:
    """Write the digest of an executed notebook on the run that keeps it. Before the file:
    an upload may fail."""
    client.set_tag(run_id, f"{RECORD_DIGEST_TAG}.{executed.stem}", sha256(executed))


def _kept(settings: Settings) -> Path:
    """The folder of records that are stored locally, one folder a run."""
    return settings.path(settings.pipeline.work_dir) / "records"


def _head(executed: Path, message: str) -> None:
    """Put the error that ended the notebook at its top."""
    import nbformat

    notebook = nbformat.read(executed, as_version=4)
    text = "\n".join(f"> {line}" for line in ("**This notebook did not finish.**", "", *message.splitlines()))
    notebook.cells.insert(0, nbformat.v4.new_markdown_cell(text))
    with contextlib.suppress(OSError):  # a full disk
        partial = executed.with_suffix(".partial")
        nbformat.write(notebook, partial)
        partial.replace(executed)


def _mask(executed: Path) -> None:
    """Mask secrets in the notebook, whatever cell or error they are in. It gets no longer:
    a full disk has room."""
    text = executed.read_text(encoding="utf-8")
    if (masked := mask_secrets(text)) != text:
        executed.write_text(masked, encoding="utf-8")


def render_first_page() -> None:
    """Render an empty notebook: the first page that a process and its forks render takes half a second more."""
    from nbformat import v4

    language = {"name": "python", "pygments_lexer": "ipython3"}
    cells = [v4.new_markdown_cell("# A"), v4.new_code_cell("1", outputs=[v4.new_output("stream", text="1")])]
    with contextlib.suppress(Exception):  # the first step reports it
        _exporter().from_notebook_node(v4.new_notebook(cells=cells, metadata={"language_info": language}))


def _exporter() -> Any:
    # nbconvert warns of each scrap, which is an output that it cannot show.
    warnings.filterwarnings("ignore", ".*is not able to be represented.*")
    return _embedding_exporter()


@cache
def _embedding_exporter() -> Any:
    """nbconvert's exporter, set to embed everything, so that a record opens years later without a network.

    One for all records of the process: it compiles its templates when it renders the first.
    """
    from nbconvert import HTMLExporter

    scripts = (
        "require_js_url",
        "mathjax_url",
        "jupyter_widgets_base_url",
        "mermaid_js_url",
        "mermaid_layout_elk_js_url",
    )
    return HTMLExporter(embed_images=True, **dict.fromkeys(scripts, ""))


def _to_html(executed: Path, exporter: Any) -> Path:
    import nbformat

    body, _ = exporter.from_notebook_node(nbformat.read(executed, as_version=4))
    html = executed.with_suffix(".html")
    html.write_text(body, encoding="utf-8")
    return html

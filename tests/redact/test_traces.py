"""Spans of MLflow without secrets, in an embedded store."""

from pathlib import Path

import pytest

from mlops_lib.redact.traces import mask_span, mask_traces

KEY = "a-secret-of-this-test"


@pytest.fixture
def store(tmp_path: Path, blank_store: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty embedded store that MLflow uses, and a process that masks its traces."""
    import shutil

    import mlflow
    from mlflow.tracing.config import get_config

    file = tmp_path / "mlflow.db"
    shutil.copy(blank_store, file)
    before, processors = mlflow.get_tracking_uri(), get_config().span_processors
    mlflow.set_tracking_uri(f"sqlite:///{file}")
    mlflow.set_experiment("traces")
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    mask_traces()
    yield file
    mlflow.tracing.configure(span_processors=processors)
    mlflow.set_tracking_uri(before)


def written(file: Path) -> bytes:
    """All bytes of the store, after the last trace was written."""
    import mlflow

    mlflow.flush_trace_async_logging()
    return b"".join(one.read_bytes() for one in file.parent.rglob("*") if one.is_file())


def test_no_part_of_a_trace_has_the_key(store: Path) -> None:
    """Inputs, outputs, attributes, events, error, stack trace, previews and names are masked, of children too."""
    import mlflow

    def raises(question: str) -> str:
        with mlflow.start_span(f"child {KEY}") as child:
            child.set_attribute("header", f"Bearer {KEY}")
            child.set_attribute("list", [KEY, {"a": KEY}])
            child.add_event(mlflow.entities.SpanEvent(f"event {KEY}", attributes={"key": KEY}))
            child.set_outputs({"answer": KEY})
        raise ValueError(f"401: {KEY}")

    with pytest.raises(ValueError, match=KEY):
        mlflow.trace(raises)(f"Is {KEY} right?")
    content = written(store)
    assert KEY.encode() not in content
    assert b"401: ***" in content and b"Is *** right?" in content


def test_other_processors_run_before(store: Path) -> None:
    """A processor of the user's may add text; it is masked too, and installing twice installs once."""
    import mlflow
    from mlflow.tracing.config import get_config

    def adds(span: object) -> None:
        span.set_attribute("added", KEY)  # type: ignore[attr-defined]

    mlflow.tracing.configure(span_processors=[adds])
    mask_traces()
    mask_traces()
    assert get_config().span_processors == [adds, mask_span]
    mlflow.trace(lambda x: x, name="two")(1)
    assert KEY.encode() not in written(store)


def test_a_span_that_cannot_be_masked_is_empty(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow exports a span whose processor raised, so the content goes."""
    import mlflow

    monkeypatch.setattr("mlops_lib.redact.traces.Masker", lambda: 1 / 0)
    mlflow.trace(lambda question: question, name="three")(f"Is {KEY} right?")
    assert KEY.encode() not in written(store)


def test_a_span_without_a_name_is_masked_too(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """LangChain gives no name to the span of a model that has none; MLflow swallows the error of a processor."""
    import mlflow
    from mlflow.tracing.utils import processor

    warned: list[str] = []
    monkeypatch.setattr(processor._logger, "warning", lambda text, **_: warned.append(text))
    mlflow.start_span_no_context(name=None, inputs={"asked": KEY}).end()  # type: ignore[arg-type]
    assert not warned and KEY.encode() not in written(store)

"""What every LLM model does alike: packaging, many rows at once, and an evaluation that counts its calls."""

import asyncio
import json
import shutil
import tempfile
import time
import warnings
from abc import abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_lib.errors import InputError, ModelError, TrainingError
from mlops_lib.evaluation.report import EvaluationReport
from mlops_lib.llm import loop
from mlops_lib.llm.cassette import row_key
from mlops_lib.llm.generation import Generation
from mlops_lib.llm.keys import masked
from mlops_lib.llm.ledger import current, tally
from mlops_lib.loaders.base import BaseDataLoader, Split
from mlops_lib.settings import EvaluationSettings, LlmSettings, Settings
from mlops_lib.wrappers import MODEL_PATH, prompts, recorded
from mlops_lib.wrappers.interface import ModelWrapper, StreamEvent

if TYPE_CHECKING:
    from mlflow.models import ModelSignature

NOT_ASKED = "Not asked: the budget was spent."
PACKAGE = "package"
LLM_KEY = "mlops_llm"
#: Rows that one request or `predict` call has in work at once.
PREDICT_CONCURRENCY = 8


class TextModelWrapper(ModelWrapper):
    """A model that answers in text, by calling an LLM. Nothing is fitted: its files are packaged."""

    waits = True
    #: Columns beyond the features that a row may have.
    extra_columns: tuple[str, ...] = ()

    @abstractmethod
    def package(self, folder: Path, config: Settings) -> None:
        """Put the model's files into the empty `folder`: prompts.yaml, config.json and what else it needs."""

    @abstractmethod
    def ready(self, package: Path, llm: LlmSettings) -> None:
        """Make the wrapper ready to answer from its packaged files."""

    @abstractmethod
    async def generate(self, row: Mapping[str, Any]) -> Generation:
        """Answer one row."""

    def fit(self, data_loader: BaseDataLoader, config: Settings, run_id: str) -> str:
        import mlflow
        import mlflow.pyfunc

        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / PACKAGE
            folder.mkdir()
            self.package(folder, config)
            # Before it is logged, not after: does it load at all?
            self.ready(folder, config.llm)
            versions = prompts.register(config.model.name, folder / "prompts.yaml")
            with warnings.catch_warnings(), mlflow.start_run(run_id=run_id):
                # MLflow wants an input example, with which it would ask the LLM, or type hints; there is a signature.
                warnings.filterwarnings("ignore", ".*([Ii]nput example|type hints)", UserWarning)
                mlflow.set_tags(recorded.digests(folder) | versions)
                info = mlflow.pyfunc.log_model(
                    name=MODEL_PATH,
                    python_model=str(Path(__file__).with_name("text_pyfunc.py")),
                    artifacts={PACKAGE: str(folder)},
                    signature=self._signature(data_loader),
                    pip_requirements=_requirements(),
                    metadata=self.metadata(config),
                )
        return info.model_uri

    def metadata(self, config: Settings) -> dict[str, Any]:
        return super().metadata(config) | {LLM_KEY: config.llm.model_dump(mode="json")}

    def open(self, folder: Path) -> None:
        llm = LlmSettings.model_validate((self.info.metadata or {}).get(LLM_KEY, {}))  # type: ignore[union-attr]
        if llm.tracing:
            recorded.trace_to_experiment_of(self.run_id)
        self.ready(folder / "artifacts" / PACKAGE, llm)

    def predict(self, input_data: Any) -> Any:
        """Answers in the order of the rows; a single row or question gives a single answer.

        Args:
            input_data: A row, a question, a list of either, or a DataFrame.

        Raises:
            InputError: A row does not fit.
            ModelError: The LLM could not be asked, after all retries.
        """
        return loop.run(self.apredict(input_data))

    async def apredict(self, input_data: Any) -> Any:
        rows, single = self._rows(input_data)
        gate = asyncio.Semaphore(PREDICT_CONCURRENCY)

        async def one(row: Mapping[str, Any]) -> Any:
            async with gate:
                return (await self._answered(row)).output

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(one(row)) for row in rows]
        except* ModelError as errors:
            raise errors.exceptions[0] from None
        outputs = [task.result() for task in tasks]
        return outputs[0] if single else outputs

    async def astream(self, row: Mapping[str, Any]) -> AsyncIterator[StreamEvent]:
        yield StreamEvent("prediction", (await self._answered(row)).output)

    def chat_row(self, messages: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        if not messages or messages[-1].get("role") != "user":
            raise InputError("The last message must be the user's.")
        return {self.text_column: text_of(messages[-1])}

    @property
    def text_column(self) -> str:
        """The column that holds the question: the signature's first."""
        return self.signature.inputs.input_names()[0] if self.signature else "question"

    def judge(self, data_loader: BaseDataLoader, config: Settings, split: Split) -> EvaluationReport:
        with recorded.session(config, self.run_id, split) as session:
            return session.finish(super().judge(data_loader, config, split), data_loader)

    def answers(self, rows: Any, config: Settings) -> list[Generation]:
        """One Generation a row; a row that fails has its error instead of an answer."""
        return loop.run(self._answers(self._rows(rows)[0], config.evaluation))

    async def _answers(self, rows: list[dict[str, Any]], chosen: EvaluationSettings) -> list[Generation]:
        from tqdm.auto import tqdm

        gate = asyncio.Semaphore(chosen.concurrency)
        with tqdm(total=len(rows), desc="answering", unit="row", mininterval=1.0) as bar:

            async def one(row: dict[str, Any]) -> Generation:
                async with gate:
                    made = await self._measured(row)
                if ledger := current():
                    spent = ledger.spent
                    bar.set_postfix_str(f"{spent.calls} calls, ${spent.cost_usd:.4f}", refresh=False)
                bar.update()
                return made

            return list(await asyncio.gather(*map(one, rows)))

    async def _measured(self, row: dict[str, Any]) -> Generation:
        """A row's answer with what it took; an error of the model's is kept, not raised."""
        ledger, key = current(), row_key(row)
        if ledger and not ledger.cassette.knows_row(key) and (ledger.stopped or ledger.cassette.strict):
            return Generation(row, error=NOT_ASKED)
        began = time.monotonic()
        with tally() as usage:
            try:
                made = await self.generate(row)
            except Exception as error:  # a graph may raise anything, and one row must not end the evaluation
                made = Generation(row, error=masked(f"{type(error).__name__}: {error}"))
        took_s = time.monotonic() - began
        if ledger:
            took_s = ledger.cassette.latency_of(key, took_s, 0 < usage.calls == usage.reused)
        return replace(made, latency_s=round(took_s, 4), usage=usage)

    async def _answered(self, row: Mapping[str, Any]) -> Generation:
        try:
            return await self.generate(row)
        except (ModelError, asyncio.CancelledError):
            raise
        except Exception as error:  # the vendors' SDKs and a graph's own code have exceptions of every kind
            raise ModelError(
                masked(f"The model could not answer: {type(error).__name__}: {error}")
            ) from error

    def _rows(self, input_data: Any) -> tuple[list[dict[str, Any]], bool]:
        single = isinstance(input_data, str | Mapping)
        if hasattr(input_data, "to_dict"):
            input_data = input_data.to_dict("records")
        items = [input_data] if single else list(input_data)
        return [item if isinstance(item, dict) else {self.text_column: item} for item in items], single

    def _signature(self, data_loader: BaseDataLoader) -> "ModelSignature":
        from mlflow.models import ModelSignature
        from mlflow.types import ColSpec, DataType, Schema

        # A row that resumes a conversation brings no question, so with threads no column is required.
        required = not self.extra_columns
        columns: list[Any] = [
            ColSpec(DataType.string, name, required) for name in data_loader.schema.features
        ]
        columns += [ColSpec(DataType.string, name, required=False) for name in self.extra_columns]
        return ModelSignature(Schema(columns), Schema([ColSpec(DataType.string)]))


def text_of(message: Mapping[str, Any]) -> str:
    """The text of a chat message, whose content is a string or a list of parts."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        parts = [part for part in content if isinstance(part, Mapping)]
        if all(part.get("type") == "text" and isinstance(part.get("text"), str) for part in parts):
            return "".join(part["text"] for part in parts)
    raise InputError("A message's content must be text, or a list of parts of type 'text'.")


def read_json(file: Path) -> dict[str, Any]:
    """A JSON object from a file.

    Raises:
        TrainingError: There is no such file, or something else in it.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TrainingError(f"{file} cannot be read as JSON: {error}") from error
    if not isinstance(content, dict):
        raise TrainingError(f"{file} must hold a JSON object, not {type(content).__name__}.")
    return content


def copy_into(folder: Path, name: str, source: Path) -> None:
    """Copy a file or a folder to ``folder/name``.

    Raises:
        TrainingError: There is nothing at `source`, or `name` would leave the folder or is taken.
    """
    target = (folder / name).resolve()
    if folder.resolve() not in target.parents or target.exists():
        raise TrainingError(f"model.params.files cannot put {source} at {name!r}: choose another name.")
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    elif source.is_file():
        shutil.copyfile(source, target)
    else:
        raise TrainingError(f"model.params.files names {source}, which does not exist.")


def _requirements() -> list[str]:
    from importlib.metadata import PackageNotFoundError, version

    pinned = []
    for name in ("mlflow", "langgraph", "langgraph-checkpoint-sqlite", "langchain-openai",
                 "langchain-anthropic", "openai", "anthropic"):  # fmt: skip
        try:
            pinned.append(f"{name}=={version(name)}")
        except PackageNotFoundError:
            continue
    return pinned

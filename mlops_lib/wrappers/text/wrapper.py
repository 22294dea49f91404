"""The base of LLM models: packaged instead of fitted, many rows at once, an evaluation that counts calls."""

import asyncio
import tempfile
from abc import abstractmethod
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from mlops_lib.columns.schema import Schema
from mlops_lib.errors import ConversationError, EvaluationError, InputError, ModelError
from mlops_lib.evaluation.judged import JudgedRows
from mlops_lib.evaluation.report import EvaluationReport
from mlops_lib.evaluation.simulation.script import Script
from mlops_lib.evaluation.simulation.user import SimulatedUser
from mlops_lib.llm.accounting.cassette import row_key
from mlops_lib.llm.accounting.ledger import Ledger
from mlops_lib.llm.conversation import Message, Said
from mlops_lib.llm.generation import Generation
from mlops_lib.llm.options import usable
from mlops_lib.llm.traces.langchain import trace_to_experiment_of
from mlops_lib.llm.transport import loop
from mlops_lib.loaders.base import BaseDataLoader, Split
from mlops_lib.settings import LlmSettings, Settings
from mlops_lib.training import llm_evaluation
from mlops_lib.training.llm_comparison import model_digests
from mlops_lib.wrappers.interface import ModelWrapper, StreamEvent
from mlops_lib.wrappers.text import prompts
from mlops_lib.wrappers.text.answers import Job, answer_all, measured
from mlops_lib.wrappers.text.chats import text_of
from mlops_lib.wrappers.text.conversations import converse
from mlops_lib.wrappers.text.example_questions import example_questions
from mlops_lib.wrappers.text.package import PACKAGE, log_package, require_no_known_secret, text_signature

#: In the model's metadata: the `llm` section it was logged with.
LLM_KEY = "mlops_llm"
#: Rows of one request or `predict` call that are in work at once.
PREDICT_CONCURRENCY = 8


class TextModelWrapper(ModelWrapper):
    """A model that answers in text by calling an LLM. Nothing is fitted: training packages its files."""

    waits = True
    #: Columns that a row may have beside the features -> "text", or "any" for any JSON.
    extra_columns: Mapping[str, str] = MappingProxyType({})
    #: Options of a chat, in OpenAI's form, that the model can use.
    chat_options: Collection[str] = ()

    @abstractmethod
    def package(self, folder: Path, config: Settings) -> None:
        """Put the model's files into the empty `folder`: prompts.yaml, config.json and any others."""

    @abstractmethod
    def ready(self, package: Path, llm: LlmSettings) -> None:
        """Get ready to answer from the packaged files."""

    def check_columns(self, columns: Sequence[str]) -> None:
        """Check that rows with these columns reach the model; nothing is called.

        Raises:
            TrainingError: They do not.
        """

    @abstractmethod
    async def generate(self, row: Mapping[str, Any]) -> Generation:
        """Answer one row."""

    def fit(self, data_loader: BaseDataLoader, config: Settings, run_id: str) -> str:
        import mlflow

        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / PACKAGE
            folder.mkdir()
            self.package(folder, config)
            require_no_known_secret(folder)
            self.ready(folder, config.llm)  # a package that does not load must not be logged
            self.check_columns(list(data_loader.schema.features))
            versions = prompts.register(config.model.name, folder / "prompts.yaml")
            signature = text_signature(list(data_loader.schema.features), self.extra_columns)
            with mlflow.start_run(run_id=run_id):
                mlflow.set_tags(model_digests(folder) | versions)
                about = self.metadata(config) | example_questions(data_loader)
                return log_package(folder, signature, about)

    def metadata(self, config: Settings, columns: Schema | None = None) -> dict[str, Any]:
        return super().metadata(config, columns) | {LLM_KEY: config.llm.model_dump(mode="json")}

    def open(self, folder: Path) -> None:
        llm = LlmSettings.model_validate((self.info.metadata or {}).get(LLM_KEY, {}))  # type: ignore[union-attr]
        if llm.tracing:
            self.trace()
        self.ready(folder / "artifacts" / PACKAGE, llm)

    def trace(self) -> None:
        """Write a trace of each answer to the experiment of the model's run."""
        trace_to_experiment_of(self.run_id)

    def predict(self, input_data: Any) -> Any:
        """Answers in the order of the rows; one answer for a single row or question.

        Args:
            input_data: A row, a question, a list of either, or a DataFrame.

        Raises:
            InputError: A row does not fit the model.
            ModelError: The LLM did not answer, after all retries.
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
            first = errors.exceptions[0]
            raise first from first.__cause__
        outputs = [task.result() for task in tasks]
        return outputs[0] if single else outputs

    async def astream(self, row: Mapping[str, Any]) -> AsyncIterator[StreamEvent]:
        yield StreamEvent("prediction", (await self._answered(row)).output)

    def chat_row(self, messages: Sequence[Mapping[str, Any]], options: Mapping[str, Any]) -> dict[str, Any]:
        options = usable(options, self.chat_options)
        if not messages or messages[-1].get("role") != "user":
            raise InputError("The last message must be the user's.")
        if len(messages) > 1:
            raise InputError("This model takes one message: it cannot use system or earlier messages.")
        return {**options, self.text_column: text_of(messages[-1])}

    @property
    def text_column(self) -> str:
        """The column with the question: the first of the signature."""
        return self.signature.inputs.input_names()[0] if self.signature else "question"

    def judge(self, data_loader: BaseDataLoader, config: Settings, split: Split) -> EvaluationReport:
        with llm_evaluation.session(config, self.run_id, split, data_loader) as session:
            self.ledger = session.ledger
            return session.finish(super().judge(data_loader, config, split))

    def judged_rows(
        self,
        data_loader: BaseDataLoader,
        config: Settings,
        split: Split,
        challenger_run_id: str,
        ledger: Ledger | None,
    ) -> tuple[JudgedRows, str]:
        with llm_evaluation.comparison(config, self.run_id, challenger_run_id, split, ledger) as own:
            try:
                rows, _ = super().judged_rows(data_loader, config, split, challenger_run_id, ledger)
                failed = any(rows.errors)
            except EvaluationError:
                if not own.stopped:
                    raise
                failed = True
            if failed and own.stopped:
                raise EvaluationError(f"the budget ended before it answered all rows. {own.stopped}")
        return rows, ". ".join(filter(None, [llm_evaluation.calls(own), llm_evaluation.uncounted(own)]))

    def answers(self, rows: Any, config: Settings, scripts: Sequence[Script] = ()) -> list[Generation]:
        """One Generation for each row; a failed row has an error instead of an answer.

        Args:
            scripts: The user's part in the conversation of each row; empty: all rows have one turn.

        Raises:
            ConversationError: Rows have conversations, and the model takes one message alone.
        """
        found = self._rows(rows)[0]
        user = SimulatedUser(config) if any(script.goal for script in scripts) else None
        if any(scripts):
            self._require_conversations(found[0])
            if any(script.answers_questions for script in scripts) and not self.extra_columns:
                raise ConversationError(
                    "'turns' of the golden data answers questions of a graph by their text, for which the graph must keep "
                    "threads: set model.params.threads: true."
                )
        jobs = [
            self._job(*each, user) for each in zip(found, scripts or [Script()] * len(found), strict=True)
        ]
        return loop.run(answer_all(jobs, config.evaluation.concurrency))

    def _job(self, row: dict[str, Any], script: Script, user: SimulatedUser | None) -> Job:
        if not script:
            return Job(row, row_key(row), partial(measured, self.generate, row))
        return Job(row, row_key({**script.columns, **row}), partial(converse, self, row, script, user))

    def next_row(
        self, row: Mapping[str, Any], said: Sequence[Message], message: Said, thread: str, last: Any
    ) -> dict[str, Any]:
        """The row of the next turn of a conversation.

        Args:
            row: The features of the row of the source.
            said: The messages so far.
            message: The user's next one, or answers to the questions of a graph.
            thread: Name of the conversation.
            last: The last prediction; None before the first.

        Raises:
            InputError: The model takes one message alone.
        """
        raise InputError("This model takes one message: it cannot use earlier ones.")

    def _require_conversations(self, row: Mapping[str, Any]) -> None:
        try:
            self.next_row(row, [{"role": "user", "content": "?"}], "?", "?", None)
        except InputError as error:
            raise ConversationError(f"Rows of the golden data have several turns. {error}") from None

    async def _answered(self, row: Mapping[str, Any]) -> Generation:
        try:
            return await self.generate(row)
        except (ModelError, asyncio.CancelledError):
            raise
        except Exception as error:  # the vendors' SDKs and a graph's own code may raise anything
            raise ModelError(f"The model could not answer: {type(error).__name__}: {error}") from error

    def _rows(self, input_data: Any) -> tuple[list[dict[str, Any]], bool]:
        """The rows, and whether the input was a single one."""
        single = isinstance(input_data, str | Mapping)
        if hasattr(input_data, "to_dict"):
            input_data = input_data.to_dict("records")
        items = [input_data] if single else list(input_data)
        return [item if isinstance(item, dict) else {self.text_column: item} for item in items], single

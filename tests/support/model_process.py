"""Real model processes, forked from a real template and asked over their sockets; models that do as their rows say."""

import contextlib
import itertools
import os
import shutil
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import yaml

from mlops_lib import config
from mlops_lib.wrappers.interface import ModelWrapper, StreamEvent
from mlops_lib.wrappers.load import WRAPPER_KEY
from serving.isolation import messages, template, wire
from tests.support.waiting import LIMIT_S, until

CONFIG = {
    "data": {"source": "rows.csv", "label": "y"},
    "model": {"name": "toy"},
    "evaluation": {"threshold": 0.0},
}
SUM, ENDLESS = f"{__name__}:Sum", f"{__name__}:Endless"
#: Its rows are expressions; their values are the predictions.
OBEDIENT = """
import ctypes, os, subprocess, sys, threading, time
import mlflow, numpy as np

def loop():
    while True:
        pass

def deaf():
    while True:
        try:
            time.sleep(60)
        except BaseException:
            pass

def native():
    sum(range(10 ** 15))  # never lets go of Python's lock, as code of an extension may

def fail(error):
    raise error

class Obedient(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        if hasattr(model_input, "columns"):
            model_input = model_input["do"]
        found = [eval(text) for text in model_input]
        return np.array(found) if all(isinstance(one, np.generic) for one in found) else found

mlflow.models.set_model(Obedient())
"""
#: Its questions are expressions, evaluated in a node that awaits (`~` before it) or in one that blocks a thread.
GRAPH = """
import asyncio, os, sys, threading, time
from typing import TypedDict
from langgraph.graph import END, START, StateGraph

seen = []

class State(TypedDict, total=False):
    question: str
    answer: str

def spin(seconds):
    seen.append(threading.get_ident())
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        pass

def fail(error):
    raise error

def open_gate(path):
    while not os.path.exists(path):
        time.sleep(0.005)
    return "slow"

async def async_gate(path):
    while not os.path.exists(path):
        await asyncio.sleep(0.005)
    return "slow"

def work(state):
    return {"answer": str(eval(state["question"]))}

async def wait(state):
    value = eval(state["question"][1:])
    return {"answer": str(await value if hasattr(value, "__await__") else value)}

def build(package):
    graph = StateGraph(State)
    graph.add_node("work", work)
    graph.add_node("wait", wait)
    graph.add_conditional_edges(START, lambda state: "wait" if state["question"].startswith("~") else "work")
    graph.add_edge("work", END)
    graph.add_edge("wait", END)
    return graph
"""


def make_pyfunc(folder: Path) -> Path:
    """The folder of a model from code, whose code file is `code_of` the folder."""
    import mlflow.pyfunc
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    (folder / "source").mkdir(parents=True)
    source = folder / "source" / "obedient.py"
    source.write_text(OBEDIENT)
    signature = ModelSignature(Schema([ColSpec("string", "do")]))
    mlflow.pyfunc.save_model(
        folder / "model", python_model=str(source), signature=signature, pip_requirements=[]
    )
    return folder / "model"


def make_graph(folder: Path) -> Path:
    """The folder of a model of the langgraph wrapper, whose graph is in artifacts/package/langgraph.py."""
    import mlflow.pyfunc

    from mlops_lib.wrappers.text import package as text_package
    from mlops_lib.wrappers.text import pyfunc as text_pyfunc

    package = folder / "package"
    package.mkdir(parents=True)
    (package / "langgraph.py").write_text(GRAPH)
    (package / "config.json").write_text('{"stream": "all"}')
    (package / "prompts.yaml").write_text("{}")
    mlflow.pyfunc.save_model(
        folder / "model",
        python_model=text_pyfunc.__file__,
        artifacts={text_package.PACKAGE: str(package)},
        signature=text_package.text_signature(["question"], {}),
        pip_requirements=[],
        metadata={WRAPPER_KEY: "langgraph", "mlops_llm": {"tracing": False}},
    )
    return folder / "model"


def with_code(model: Path, folder: Path, code: str, **modules: str) -> Path:
    """A copy of a model from code with other code, and with modules in its `code` folder."""
    shutil.copytree(model, folder)
    (folder / "obedient.py").write_text(code)
    for name, text in modules.items():
        file = folder / "code" / f"{name}.py"
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    if modules:
        about = yaml.safe_load((folder / "MLmodel").read_text())
        about["flavors"]["python_function"]["code"] = "code"
        (folder / "MLmodel").write_text(yaml.safe_dump(about))
    return folder


def settings_in(folder: Path, wrapper: str = "lightning") -> Any:
    """Settings of a service in a folder, which trusts a wrapper."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "config.yaml"
    model = {"name": "toy", "wrapper": wrapper}
    file.write_text(yaml.safe_dump(CONFIG | {"model": model}))
    return config.load(file)


class Sum(ModelWrapper):
    """Adds up the columns of a matrix."""

    takes_matrix = True
    matrix_dtype = np.float64

    def fit(self, *_: Any) -> str:
        raise NotImplementedError

    def open(self, folder: Path) -> None:
        pass

    def predict(self, input_data: Any) -> Any:
        return self.matrix(input_data).sum(axis=1) if isinstance(input_data, list) else input_data.sum(axis=1)


class Endless(ModelWrapper):
    """Answers with events without an end."""

    waits = True

    def fit(self, *_: Any) -> str:
        raise NotImplementedError

    def open(self, folder: Path) -> None:
        pass

    def predict(self, input_data: Any) -> Any:
        return [0 for _ in input_data]

    async def astream(self, row: Any) -> AsyncIterator[StreamEvent]:
        for number in itertools.count():
            yield StreamEvent("token", str(number))


def make_sum(folder: Path, columns: int, wrapper: str = SUM) -> Path:
    """The folder of a model that adds up its columns c0, c1, ..."""
    from mlflow.models import Model, ModelSignature
    from mlflow.types import ColSpec, Schema

    folder.mkdir(parents=True)
    signature = ModelSignature(Schema([ColSpec("double", f"c{number}") for number in range(columns)]))
    Model(signature=signature, metadata={WRAPPER_KEY: wrapper}).save(str(folder / "MLmodel"))
    return folder


class Template:
    """A template, with what it has said."""

    def __init__(self) -> None:
        self.process, self.socket = template.start()
        self._decode = msgspec.msgpack.Decoder(messages.FromTemplate).decode
        self.exited: dict[int, int] = {}
        self.ready = False
        self._forked: dict[int, messages.Forked] = {}
        self._calls = 0

    def fork(self, *kinds: str) -> tuple[int, socket.socket]:
        """The process id and the socket of a new model process."""
        ours, its = socket.socketpair()
        self._calls += 1
        with its:
            template.send_fork(self.socket, self._calls, its, kinds)
        call = self._calls
        until(lambda: self.read() or self._forked.get(call), "the template has forked")
        return self._forked[call].pid, ours

    def kill(self, pid: int) -> None:
        """Kill a model process and all that it started."""
        self.socket.send(msgspec.msgpack.encode(messages.Kill(pid)))

    def wait_for_exit(self, pid: int) -> int:
        """The wait status of a model process, once it has ended."""
        until(lambda: self.read() or pid in self.exited, "the model process has ended")
        return self.exited[pid]

    def read(self) -> None:
        """Take in what the template has sent."""
        with contextlib.suppress(BlockingIOError):
            while True:
                packet = self.socket.recv(template.MAX_PACKET_BYTES, socket.MSG_DONTWAIT)
                assert packet, "the template has ended"
                match self._decode(packet):
                    case messages.Forked() as forked:
                        self._forked[forked.id] = forked
                    case messages.Exited(pid, status):
                        self.exited[pid] = status
                    case messages.Ready():
                        self.ready = True

    def close(self) -> None:
        """Let it end, and its processes with it."""
        self.socket.close()
        self.process.wait(LIMIT_S)


class ModelProcess:
    """A model process of a template; `loaded` is what it says about its model."""

    loaded: messages.Loaded

    def __init__(self, of: Template, folder: Path, settings: Any, *kinds: str) -> None:
        self._template = of
        self.pid, self.socket = of.fork(*kinds)
        self.socket.settimeout(LIMIT_S)
        self._writer, self._reader = wire.Writer(pickles=True), wire.Reader(messages.ToGateway)
        self._came: list[Any] = []
        self._calls = 0
        self.send(messages.Load(str(folder), "toy version 1", wire.Exact(settings)))

    def send(self, message: Any) -> None:
        """Send a message."""
        for part in self._writer.frame(message):
            self.socket.sendall(part)

    def receive(self) -> Any:
        """The next message but `Begun`; None when the process has closed its end."""
        while not self._came:
            if not (count := self.socket.recv_into(self._reader.space())):
                return None
            came = self._reader.received(count)
            self._came = [message for message in came if not isinstance(message, messages.Begun)]
        return self._came.pop(0)

    def start(self, kind: Any, *what: Any) -> int:
        """Send a call with these values; its number."""
        self._calls += 1
        self.send(kind(self._calls, *(wire.Exact(value) for value in what)))
        return self._calls

    def batch(self, *jobs: list[Any]) -> Any:
        """The answer to a batch."""
        self.start(messages.Batch, list(jobs))
        return self.receive()

    def ping(self) -> Any:
        """The answer to a ping."""
        self._calls += 1
        self.send(messages.Ping(self._calls))
        return self.receive()

    def do(self, *expressions: str) -> Any:
        """The answer to a batch of one row each."""
        return self.batch(*([{"do": text}] for text in expressions))

    def ask(self, question: str) -> int:
        """Ask a model that waits; the call's number."""
        return self.start(messages.Ask, [{"question": question}])

    def interrupt(self) -> None:
        """End the batch under way."""
        os.kill(self.pid, signal.SIGUSR1)

    def kill(self) -> None:
        """Kill it and all that it started."""
        self._template.kill(self.pid)

    def wait_for_exit(self) -> int:
        """Its wait status, once it has ended."""
        return self._template.wait_for_exit(self.pid)

    def close(self) -> None:
        """End it, whatever it does."""
        self.socket.close()
        self.kill()
        self.wait_for_exit()


@contextlib.contextmanager
def running(of: Template, folder: Path, settings: Any, *kinds: str) -> Iterator[ModelProcess]:
    """A model process that has loaded the model in `folder`."""
    process = ModelProcess(of, folder, settings, *kinds)
    try:
        loaded = process.receive()
        assert isinstance(loaded, messages.Loaded), loaded
        process.loaded = loaded
        yield process
    finally:
        process.close()


def is_alive(pid: int) -> bool:
    """Whether a process runs. One that has ended and was not waited for does not."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False

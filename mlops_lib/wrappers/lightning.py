"""PyTorch networks, trained by Lightning and logged as a traced graph.

The logged model is the graph that `torch.export` makes of the module's ``forward`` (MLflow's ``pt2`` format).
It loads without pickle, without Lightning, and without the module's class.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mlops_lib import plugins
from mlops_lib.columns.encode import Encoder, encode_frame
from mlops_lib.columns.schema import Schema
from mlops_lib.loaders.base import BaseDataLoader, Split
from mlops_lib.network_inputs import resolve
from mlops_lib.network_inputs.encode import InputEncoder
from mlops_lib.settings import Settings
from mlops_lib.training import checkpoints, heads, launch, learning_rate, lightning_fit
from mlops_lib.training import trainer as trainers
from mlops_lib.training.implementation import build
from mlops_lib.training.labels import training_schema
from mlops_lib.wrappers import table_package
from mlops_lib.wrappers.code.carried_code import carried_code
from mlops_lib.wrappers.inputs import prepared, refusals
from mlops_lib.wrappers.interface import ModelWrapper
from mlops_lib.wrappers.network import matrix, warm_start
from mlops_lib.wrappers.network.frozen import freeze
from mlops_lib.wrappers.preparing import Preparation

if TYPE_CHECKING:
    import pandas as pd
    import torch
    from mlflow.models import Model

#: More than one, because torch.export fixes a dimension whose example has size 1.
EXAMPLE_ROWS = 5
#: Rows that go through the network at once: `tabular` needs some 100 kB for each row of a wide table.
PREDICT_ROWS = 1_024


class PytorchLightningWrapper(ModelWrapper):
    """A LightningModule named by ``model.implementation``, with early stopping on ``val_loss``.

    The module logs ``val_loss`` in its validation step. Its ``forward`` takes the encoder's outputs, float32
    [rows, outputs] (for a table of numbers: the features as they are), and returns predictions. Its constructor gets
    ``n_features`` (outputs), ``n_classes`` (0 for regression, 2 for yes/no labels), ``n_labels`` and ``codes`` (number of
    codes of each output, 0 for a number) if it has parameters of these names. A batch is (x, y), or (x, y, weights) where
    ``data.weight`` is set; y is float32 [rows], int64 for more than two classes, of several labels float32 [rows, labels].
    ``fit_preprocessing(batches)``, if the module has it, is called with the training batches before the fit.
    """

    name = "lightning"
    takes_matrix = True
    carries_prepare = True
    #: Encodes the inputs of a network that takes several, or one by name; None: it takes the matrix.
    inputs: InputEncoder | None = None

    @classmethod
    def holds_code(cls, folder: Path, info: "Model") -> bool:
        """False for an exported graph without a pickle in its archive."""
        if table_package.has_encoder(folder):
            network = folder / table_package.FOLDER / table_package.NETWORK
            return table_package.inputs_hold_code(folder) or not matrix.is_pickle_free(network)
        flavour = info.flavors.get("pytorch", {})
        files = folder / str(flavour.get("model_data"))
        if flavour.get("code") or (files / "model.pth").exists():
            return True
        return not matrix.is_pickle_free(files / "model.pt2")

    def fit(self, data_loader: BaseDataLoader, config: Settings, run_id: str) -> str:
        import mlflow
        import torch

        from mlops_lib.training import datamodule, own_dataset
        from mlops_lib.training.losses import describe
        from mlops_lib.wrappers.network import log as network_log
        from mlops_lib.wrappers.network.double import in_double
        from mlops_lib.wrappers.network.row_wise import require_row_wise

        trainers.check(config)
        preparation = Preparation.of(data_loader, config)
        schema = training_schema(data_loader, config.evaluation.task)
        config = lightning_fit.sized(config, data_loader.count("train"), schema.has_images)
        chosen = {name: getattr(config.train, name) for name in ("batch_size", "patience", "max_epochs")}
        print("  ".join(f"{name} {value}" for name, value in chosen.items()), flush=True)
        for name, value in chosen.items():
            mlflow.MlflowClient().log_param(run_id, f"fit.{name}", value)
        lightning_fit.begin(config.train.seed)
        module, encoder, facts, features = _made(data_loader, config, schema)
        own = None
        if config.train.datamodule:
            own = datamodule.make(config, data_loader, encoder, config.train.batch_size)
            train, validation = datamodule.loaders(own, config)
            datamodule.require_fitting(train, config, encoder)
        else:
            train, validation = lightning_fit.batches(data_loader, config, encoder)
        if config.train.dataset:
            own_dataset.require_same_rows(config, data_loader, encoder, train, validation)
        module.train()
        if hasattr(module, "fit_preprocessing"):
            module.fit_preprocessing(train)
        if config.train.warm_start:
            warm_start.load(module, encoder, config, run_id)
        if config.train.find_lr:
            config = learning_rate.find(module, train, config, run_id, own)
        name = checkpoints.identity(config, data_loader, encoder, module)
        with checkpoints.folder(config, name) as folder:
            if config.train.processes * config.train.nodes > 1:
                launch.fit(module, data_loader, config, run_id, facts, encoder, folder)
            else:

                def about(batch: Any, split: Split) -> str:
                    return describe(batch, split, data_loader, encoder)

                lightning_fit.fit(module, train, validation, config, run_id, about, folder, own)
            metadata = self.metadata(config, encoder.schema)
            if isinstance(encoder, InputEncoder):
                sample = data_loader.head("train", resolve.SAMPLE_ROWS)
                return network_log.log(
                    module.cpu().eval(), encoder, features, sample, run_id, metadata, config.root, preparation
                )
            example = encode_frame(encoder, features).astype(np.float32)
            final = in_double(module.cpu().eval(), torch.from_numpy(example))
            require_row_wise(type(module).__name__, final, [torch.from_numpy(example)], trained=True)
            if encoder.is_plain and not preparation:
                return matrix.log(final, features, example, run_id, metadata)
            return matrix.log_encoded(final, encoder, features, example, run_id, metadata, preparation)

    def open(self, folder: Path) -> None:
        import torch

        with carried_code(folder) if table_package.inputs_hold_code(folder) else nullcontext():
            self.inputs = table_package.read_inputs(folder)
            if self.inputs:
                from mlops_lib.wrappers.network import log as network_log

                self.takes_matrix = False
                self._module = network_log.open_network(folder / table_package.FOLDER, self.inputs)
                return
        self.encoder = table_package.read_encoder(folder)
        if self.encoder:
            module = torch.export.load(str(folder / table_package.FOLDER / table_package.NETWORK)).module()
            # Valid for every output: the code of an unknown category, or the number one.
            example = np.ones((EXAMPLE_ROWS, len(self.encoder.outputs)), dtype=np.float32)
        else:
            width = len(self.feature_names)
            example = np.linspace(-2, 2, EXAMPLE_ROWS * width, dtype=np.float32).reshape(EXAMPLE_ROWS, -1)
            module = matrix.mlflow_pytorch().load_model(str(folder))
        self._module = freeze(module, torch.from_numpy(example))
        self.straight_line = self._module is not module

    def attach(self, settings: Settings) -> None:
        """In a service, images are decoded by as many threads as there are processors."""
        if self.inputs and self.inputs.decodes_images:
            processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
            if processors and processors > 1:
                self.inputs.decode_in(ThreadPoolExecutor(processors, "decode"))

    def predict(self, input_data: Any) -> Any:
        import torch

        if self.inputs:
            from mlops_lib.network_inputs.call import answers
            from mlops_lib.network_inputs.outputs import by_row

            with refusals():  # images are decoded batch by batch
                return by_row(answers(self._module, self.inputs, prepared(self.inputs, input_data)))
        is_matrix = isinstance(input_data, np.ndarray)
        x = torch.from_numpy(input_data if is_matrix else self.matrix(input_data))
        with torch.inference_mode():
            if len(x) <= PREDICT_ROWS:
                return self._module(x).numpy()
            return torch.cat([self._module(part) for part in x.split(PREDICT_ROWS)]).numpy()


class _Made(NamedTuple):
    """A network before its training, its encoder, the facts that its constructor may ask for, and rows for its example."""

    module: Any
    encoder: Encoder | InputEncoder
    facts: dict[str, Any]
    features: "pd.DataFrame"


def _made(data_loader: BaseDataLoader, config: Settings, schema: Schema) -> _Made:
    """Make the network that the settings name. One that cannot be logged fails now, and not after its training."""
    import torch

    from mlops_lib.columns.fit import fit as fit_encoder
    from mlops_lib.wrappers.network import log as network_log
    from mlops_lib.wrappers.network.probabilities import require_judgeable, require_repeatable
    from mlops_lib.wrappers.network.row_wise import require_row_wise

    network = plugins.load("network", config.model.implementation)
    plan = resolve.plan(network, config.model, schema)
    of_matrix = fit_encoder(plan.encoded_schema if plan else schema, data_loader.parts("train"))
    encoder: Encoder | InputEncoder = of_matrix
    if plan:
        encoder = plan.encoder(of_matrix, data_loader.head("train", resolve.SAMPLE_ROWS), config.root)
    features = data_loader.head("train", EXAMPLE_ROWS)[list(encoder.schema.features)]
    codes = tuple(output.codes for output in of_matrix.outputs)
    n_classes = 2 if config.evaluation.task == "multilabel" else len(schema.classes)
    n_labels = len(schema.labels)
    judged = heads.of(data_loader, config, schema.classes)
    facts = {"n_features": len(codes), "n_classes": n_classes, "n_labels": n_labels, "codes": codes}
    if isinstance(encoder, InputEncoder):
        _show(encoder, schema)
        module = build(config, "network", **facts, inputs=encoder.inputs.by_name)
    else:
        module = build(config, "network", **facts)
        example = encode_frame(encoder, features).astype(np.float32)
        if not _gives_one_tensor(module, example):  # outputs have names only beside inputs by name
            encoder = resolve.of_matrix(network, schema).encoder(of_matrix, features, config.root)
    if isinstance(encoder, InputEncoder):
        network_log.require_loggable(module, encoder, features, config, judged)
    else:
        network_log.require_output([], config)
        matrix.require_exportable(module, example)
        with torch.inference_mode():
            answer, again = (module.eval()(torch.from_numpy(example)).numpy() for _ in range(2))
        require_judgeable(type(module).__name__, answer, judged)
        require_repeatable(type(module).__name__, answer, again)
        require_row_wise(type(module).__name__, module, [torch.from_numpy(example)])
    return _Made(module, encoder, facts, features)


def _gives_one_tensor(module: "torch.nn.Module", example: np.ndarray) -> bool:
    """Whether a network gives a tensor; also where it fails, which its export then reports."""
    import torch

    try:
        with torch.inference_mode():
            return isinstance(module.eval()(torch.from_numpy(example)), torch.Tensor)
    except Exception:  # a user's code may raise anything
        return True


def _show(encoder: InputEncoder, schema: Schema) -> None:
    """Print the inputs, and the features that are none."""
    print("inputs  " + "  ".join(map(str, encoder.inputs.specs)), flush=True)
    if unused := [name for name in schema.features if name not in encoder.schema.features]:
        print(f"not used by the network: {', '.join(unused)}", flush=True)

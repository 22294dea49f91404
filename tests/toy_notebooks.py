"""Quick notebooks of one or two cells that take the parameters of a project's own."""

import ast
from pathlib import Path

import nbformat

#: Writes three small splits without pandas, and glues get-data's outputs.
DATA = """
from pathlib import Path
from mlops_lib import config, loaders, notebooks
settings = config.load()
folder = loaders.prepared_folder(settings, data)
folder.mkdir(parents=True, exist_ok=True)
for split in ("train", "validation", "test"):
    (folder / f"{split}.csv").write_text("user_id,x,repurchased\\n1,2,0\\n2,3,1\\n")
notebooks.glue(train_rows=2, validation_rows=2, test_rows=2, parent_run_id=parent_run_id,
               fingerprint=loaders.prepared(settings, folder).fingerprint())
"""
#: Stops with an error while there is a file called ``broken``.
TRAIN = """
from pathlib import Path
from mlops_lib import config, notebooks, tracking
settings = config.load()
if Path("broken").exists():
    raise RuntimeError("somebody must mend this first\\nRemove the file broken.")
with tracking.child_run(settings, "train-model", parent_run_id, {}) as run:
    pass
notebooks.glue(run_id=run.info.run_id, model_uri="runs:/x")
"""
#: Refuses, so that nothing is registered.
EVALUATE = """
from mlops_lib import config, notebooks, registry, tracking
client = tracking.connect(config.load())
client.set_tag(run_id, registry.GATE_TAG, "refused")
client.set_tag(run_id, registry.CHAMPION_TAG, registry.champion_tag(0, ""))
notebooks.glue(score=0.5, threshold=0.9, passed=False)
"""


def replace(root: Path, name: str, *cells: str) -> None:
    """Keep the ``parameters`` cell of a notebook and put `cells` in place of all others."""
    file = root / "notebooks" / f"{name}.ipynb"
    notebook = nbformat.read(file, as_version=4)
    for cell in cells:
        ast.parse(cell)
    parameters = next(c for c in notebook.cells if c.metadata.get("tags") == ["parameters"])
    notebook.cells = [parameters, *(nbformat.v4.new_code_cell(cell.strip()) for cell in cells)]
    nbformat.write(notebook, file)

"""``mlops why``: the chain behind a prediction or a version, each link hashed again."""

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.tree import Tree

from mlops_lib import config
from mlops_lib.cli.display import ConfigOption, progress, show

if TYPE_CHECKING:
    from mlops_lib.lineage.why.link import Link

STYLES = {"verified": "green", "unchecked": "yellow", "missing": "bold yellow", "altered": "bold red"}

#: Facts that the title has in short; the JSON has them whole.
HIDDEN = ("sha256", "digest", "model digest", "fingerprint", "commit")


def why(
    target: Annotated[
        str, typer.Argument(help="Request id, models:/NAME@ALIAS, models:/NAME/VERSION, or NAME.")
    ],
    version: Annotated[int, typer.Argument(min=0, help="Version, after NAME.")] = 0,
    data: Annotated[
        bool, typer.Option("--data", help="Hash the data's source too; reads all of it.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the chain as JSON.")] = False,
    config_file: ConfigOption = None,
) -> None:
    """Explain a prediction or a version: its model, decision, run, notebooks, data, code and environment.

    Each link is hashed again. Exit status: 0 all verified, 4 a link is missing, 5 a link was altered.

    [dim]Examples:[/] mlops why 4c1d9f2e... | mlops why models:/repurchase@production --data | mlops why repurchase 3 --json
    """
    settings = config.load(config_file)
    with progress("Following the chain, hashing each link"):
        from mlops_lib.lineage.why.chain import why as chains_of
        from mlops_lib.lineage.why.link import EXIT

        chains = chains_of(settings, target, version, data)
    worst = max((chain.worst for chain in chains), key=lambda state: EXIT[state])
    if as_json:
        sys.stdout.write(json.dumps(_as_json(chains), indent=2, ensure_ascii=False, default=str) + "\n")
    else:
        for chain in chains:
            show(_tree(chain))
        show(_summary(chains))
    raise typer.Exit(EXIT[worst])


def _as_json(chains: Sequence["Link"]) -> dict[str, Any]:
    from mlops_lib.lineage.why.link import STATES

    worst = max((chain.worst for chain in chains), key=STATES.index)
    return {"state": worst, "chains": [chain.to_dict() for chain in chains]}


def _tree(link: "Link", onto: Tree | None = None) -> Tree:
    from mlops_lib.lineage.why.link import short

    style = STYLES[link.state]
    facts = {name: value for name, value in link.facts.items() if name not in HIDDEN}
    label = f"[{style}]{link.state}[/]  {escape(link.title)}"
    if digest := link.facts.get("sha256", ""):
        label += f"  [dim]{short(digest)}[/]"
    if link.detail:
        label += f"\n[{style}]{escape(link.detail)}[/]"
    if facts:
        lines = [f"[dim]{escape(name)}[/] {escape(_shown(value))}" for name, value in facts.items()]
        label += "\n" + "[dim] · [/]".join(lines)
    tree = onto.add(label) if onto else Tree(label)
    for one in link.links:
        _tree(one, tree)
    return tree


def _summary(chains: Sequence["Link"]) -> str:
    from mlops_lib.lineage.why.link import STATES

    links = [link for chain in chains for link in chain.all()]
    counts = {state: sum(link.state == state for link in links) for state in STATES}
    return ", ".join(f"[{STYLES[state]}]{count} {state}[/]" for state, count in counts.items() if count)


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)

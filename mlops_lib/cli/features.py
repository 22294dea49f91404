"""``mlops features``: for the people who run a feature store."""

from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.table import Table

from mlops_lib import config, features
from mlops_lib.cli.display import out
from mlops_lib.errors import ConfigError, FeatureStoreError

app = typer.Typer(no_args_is_help=True, help="Register features, fill the online store, look an entity up.")

DATES = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]


@app.command()
def apply() -> None:
    """Register the definitions of the feature repository, and drop those that are gone from it.

    [dim]Example:[/] mlops features apply
    """
    for name in features.from_settings(config.load()).apply():
        out.print(name)


@app.command()
def materialize(
    since: Annotated[datetime, typer.Option(formats=DATES, help="Begin of the span, UTC.")] = datetime(
        1970, 1, 1
    ),
    until: Annotated[
        datetime | None, typer.Option(formats=DATES, help="End of the span, UTC; default: now.")
    ] = None,
) -> None:
    """Copy the latest values of a span of time to the online store.

    [dim]Example:[/] mlops features materialize --since 2026-01-01
    """
    end = until.replace(tzinfo=UTC) if until else datetime.now(UTC)
    if since.replace(tzinfo=UTC) > end:
        raise ConfigError(f"--since {since} is after --until {end:%Y-%m-%d %H:%M:%S}.")
    features.from_settings(config.load()).materialize(since.replace(tzinfo=UTC), end)
    out.print("[green]The online store is up to date.[/]")


@app.command()
def get(
    entity: Annotated[list[str], typer.Argument(help="Entity key and value: user_id=123.")],
    service: Annotated[str, typer.Option(help="Feature service; default: data.feature_store.service.")] = "",
) -> None:
    """Look one entity up in the online store.

    [dim]Example:[/] mlops features get user_id=123
    """
    settings = config.load()
    provider = features.from_settings(settings)
    described = provider.describe(service or settings.data.feature_store.service)
    row = provider.online(described, [_key(described, entity)])[0]
    table = Table("feature", "value", "", box=None, pad_edge=False)
    for name in described.dtypes:
        table.add_row(name, str(row.values.get(name)), row.trouble.get(name, ""))
    out.print(table)
    if "unknown_entity" in row.trouble.values():
        raise FeatureStoreError(f"The online store does not know {' '.join(entity)}. Is it materialised?")


@app.command()
def skew(
    url: Annotated[str, typer.Option(help="Address of the running service.")] = "http://127.0.0.1:8080",
    limit: Annotated[int, typer.Option(min=0, help="Rows to compare; 0 means all.")] = 0,
) -> None:
    """Compare, feature by feature, what training saw with what the running service looks up.

    [dim]Example:[/] mlops features skew --url http://127.0.0.1:8080 --limit 1000
    """
    from mlops_lib import loaders
    from mlops_lib.monitoring.skew import check

    found = check(url, loaders.from_settings(config.load()), limit=limit)
    table = Table("feature", "rows", "different", "by at most", "for example", box=None, pad_edge=False)
    for item in found:
        style = "red" if item.different else None
        numbers = (str(item.rows), str(item.different), f"{item.largest_difference:g}")
        table.add_row(item.feature, *numbers, "; ".join(item.examples[:1]), style=style)
    out.print(table)
    if skewed := [item.feature for item in found if item.different]:
        raise FeatureStoreError(f"Served differently than trained: {', '.join(skewed)}.")


def _key(service: features.FeatureService, entity: list[str]) -> dict[str, int | str]:
    """``user_id=123`` as a key of the service's types."""
    given = {name: value for name, _, value in (pair.partition("=") for pair in entity) if value}
    if len(given) != len(entity) or set(given) != set(service.entity_keys):
        raise ConfigError(
            f"{service.name!r} is looked up by {' '.join(f'{key}=...' for key in service.entity_keys)}, "
            f"not by {' '.join(entity)}."
        )
    key: dict[str, int | str] = {}
    for name, text in given.items():
        try:
            key[name] = int(text) if "int" in service.key_dtypes[name].lower() else text
        except ValueError:
            raise ConfigError(f"{name} has value {text!r}; {service.name!r} wants an integer.") from None
    return key

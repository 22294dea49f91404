"""A Feast repository: its definitions, as ``feast apply`` reads and registers them,
and the progress of writes."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_lib.errors import FeatureStoreError

if TYPE_CHECKING:
    from feast import FeatureStore
    from feast.repo_contents import RepoContents

#: Rows of one write to the online store, unless feature_store.yaml sets a number.
WRITE_ROWS = 10_000


def register(store: "FeatureStore", repo: Path) -> list[str]:
    """Register the definitions of a repository, and drop the objects that are gone from it.

    Returns:
        The registered objects: type and name.

    Raises:
        FeatureStoreError: The project of the definitions is not that of feature_store.yaml.
    """
    import feast
    from feast.repo_operations import apply_total_with_repo_instance, parse_repo

    with _modules_of(repo), contextlib.redirect_stdout(sys.stderr):
        found = parse_repo(repo)
        projects = [project.name for project in found.projects]
        if not projects:
            found.projects.append(feast.Project(name=store.project))
        elif projects != [store.project]:
            raise FeatureStoreError(
                f"The definitions in {repo} are of project {', '.join(projects)}; feature_store.yaml has "
                f"{store.project}. A repository has one project."
            )
        _keep_source_times(store, found)
        apply_total_with_repo_instance(
            store, store.project, store.registry, found, skip_source_validation=False
        )
        store.refresh_registry()
    return sorted(f"{type(item).__name__} {item.name}" for item in _named(found))


def _keep_source_times(store: "FeatureStore", found: "RepoContents") -> None:
    """Give the sources of views the times of their registration.

    Feast dates a source when its file is read. It would report each materialised
    view with a new date as updated.
    """
    registry, project = store.registry, store.project
    registered = [*registry.list_feature_views(project), *registry.list_stream_feature_views(project)]
    known = {source.name: source for view in registered for source in _sources(view)}
    for view in (*found.feature_views, *found.stream_feature_views):
        for source in _sources(view):
            if source.name in known:
                source.created_timestamp = known[source.name].created_timestamp
                source.last_updated_timestamp = known[source.name].last_updated_timestamp


def _sources(view: Any) -> list[Any]:
    return [source for source in (view.batch_source, view.stream_source) if source is not None]


def _named(found: "RepoContents") -> Iterator[Any]:
    from feast.feature_view import DUMMY_ENTITY_NAME

    for kind in ("entities", "feature_views", "stream_feature_views", "on_demand_feature_views"):
        yield from (item for item in getattr(found, kind) if item.name != DUMMY_ENTITY_NAME)
    yield from (*found.label_views, *found.feature_services)


@contextlib.contextmanager
def _modules_of(repo: Path) -> Iterator[None]:
    """Import the files of a repository by their own names from its folder, as Feast's command does.

    Afterwards they are forgotten: another repository may have files of the same names.
    """
    own = {path.name if path.is_dir() else path.stem for path in repo.iterdir()}
    hidden = {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] in own}
    before, paths = set(sys.modules), list(sys.path)
    sys.path.insert(0, str(repo))
    try:
        with contextlib.chdir(repo):
            yield
    finally:
        sys.path[:] = paths
        for name in set(sys.modules) - before:
            file = getattr(sys.modules[name], "__file__", None)
            if name.partition(".")[0] in own or (file and Path(file).is_relative_to(repo)):
                del sys.modules[name]
        sys.modules.update(hidden)


@contextlib.contextmanager
def rows_shown(store: "FeatureStore") -> Iterator[None]:
    """Count the rows written to the online store on stderr; the progress bar of Feast 0.67 never moves."""
    from tqdm.auto import tqdm

    writing = store.config.materialization_config
    # Without it Feast writes all rows of a view at once, and holds them in memory.
    writing.online_write_batch_size = writing.online_write_batch_size or WRITE_ROWS
    online = store.provider.online_store
    write = online.online_write_batch
    with tqdm(desc="online store", unit=" rows", mininterval=1.0, file=sys.stderr) as line:

        def counted(config: Any, table: Any, data: Any, progress: Any) -> None:
            line.set_description_str(table.name, refresh=False)
            write(config, table, data, progress)
            line.update(len(data))

        vars(online)["online_write_batch"] = counted
        try:
            yield
        finally:
            del vars(online)["online_write_batch"]

"""All rows of a Feast view, as labelled rows to learn from."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from mlops_lib.errors import FeatureStoreError
from mlops_lib.features.feast_values import dtype, is_structured, typed

if TYPE_CHECKING:
    import pandas as pd
    from feast import FeatureStore


def rows_of(store: "FeatureStore", name: str, timestamp: str) -> "pd.DataFrame":
    """The rows of a view with values of its own, in the order of their times and keys.

    Raises:
        FeatureStoreError: There is no such view, or it has no source of rows.
    """
    from feast import LabelView
    from feast.errors import FeatureViewNotFoundException
    from feast.labeling.conflict_resolver import resolve_conflicts

    registry, project = store.registry, store.project
    try:
        view = registry.get_any_feature_view(name, project)
    except FeatureViewNotFoundException:
        known = [item.name for item in registry.list_all_feature_views(project)]
        raise FeatureStoreError(
            f"The feature store has no view {name!r}. It has: {', '.join(sorted(known)) or 'none'}."
        ) from None
    source = getattr(view, "batch_source", None)
    if source is None:
        raise FeatureStoreError(f"View {name!r} has no batch source, so it has no rows to learn from.")
    own_name = {mine: theirs for theirs, mine in source.field_mapping.items()}
    fields = {own_name.get(field.name, field.name): field for field in (*view.entity_columns, *view.features)}
    keys = [own_name.get(key, key) for key in view.join_keys]
    values = [column for column in fields if column not in keys]
    job = store.provider.offline_store.pull_all_from_table_or_query(
        config=store.config,
        data_source=source,
        join_key_columns=keys,
        feature_name_columns=values,
        timestamp_field=source.timestamp_field,
        start_date=datetime(1970, 1, 1, tzinfo=UTC),
        end_date=datetime.now(UTC),
    )
    rows = job.to_df()
    if isinstance(view, LabelView):
        moment, labeler, policy = source.timestamp_field, view.labeler_field, view.conflict_policy
        rows = resolve_conflicts(rows, keys, values, moment, own_name.get(labeler, labeler), policy)
    rows = rows.sort_values([source.timestamp_field, *keys], ignore_index=True)
    for column in values:  # keys stay as the source has them: Feast calls those of a label view text
        rows[column] = typed(rows[column], dtype(fields[column]), is_structured(fields[column]))
    names = {column: field.name for column, field in fields.items()} | {source.timestamp_field: timestamp}
    return rows[[*keys, source.timestamp_field, *values]].rename(columns=names)

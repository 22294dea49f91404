"""A Feast repository with every kind of view that the platform takes, filled."""

from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from mlops_lib.features.feast import FeastProvider
from tests.support.feature_projects import DAY, NOW, STORE

USERS, SHOPS, CITIES = range(1, 7), ("007", "7", "서울점"), ("icn", "cju", "pus")

DEFINITIONS = """
from datetime import timedelta

import pandas as pd
from feast import (
    Entity, FeatureService, FeatureView, Field, FileSource, KafkaSource, LabelView, PushSource, RequestSource, ValueType,
)
from feast.data_format import JsonFormat
from feast.on_demand_feature_view import on_demand_feature_view
from feast.stream_feature_view import StreamFeatureView
from feast.types import (
    Array, Bool, Float32, Float64, Int32, Int64, Json, Map, String, Struct, UnixTimestamp,
)

user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.INT64)
shop = Entity(name="shop", join_keys=["shop_code"])
city = Entity(name="city", join_keys=["city_code"], value_type=ValueType.STRING)


def file(name):
    return FileSource(name=name, path=f"data/{name}.parquet", timestamp_field="at", created_timestamp_column="made")


def view(name, entities, **schema):
    fields = [Field(name=field, dtype=dtype) for field, dtype in schema.items()]
    return FeatureView(name=name, entities=entities, ttl=timedelta(days=9), schema=fields, source=file(name))


gaps = view("gaps", [user], whole=Int64, small=Int32, share=Float32, amount=Float64, active=Bool, word=String)
times = view("times", [user], seen=UnixTimestamp)
sales = view("sales", [shop], **{"매출": Float64, "shop_code": String})
pairs = view("pairs", [user, shop], bought=Int64)
weather = view("weather", [city], degrees=Float64)
rates = view("rates", [], rate=Float64)
parts = view("parts", [user], tags=Map, extra=Json, address=Struct({"street": String, "zip": String}), vector=Array(Float32))
pushed = FeatureView(
    name="pushed", entities=[user], ttl=timedelta(days=9), schema=[Field(name="clicks", dtype=Int64)],
    source=PushSource(name="click_push", batch_source=file("pushed")),
)
stream = StreamFeatureView(
    name="stream", entities=[user], ttl=timedelta(days=9), schema=[Field(name="scrolls", dtype=Int64)],
    source=KafkaSource(
        name="scroll_topic", kafka_bootstrap_servers="none:9092", topic="scrolls", timestamp_field="at",
        batch_source=file("stream"), message_format=JsonFormat(schema_json="scrolls integer, at timestamp"),
    ),
)
verdicts = LabelView(
    name="verdicts", entities=[user], schema=[Field(name="good", dtype=Int64), Field(name="labeler", dtype=String)],
    source=PushSource(name="verdict_push", batch_source=FileSource(
        name="verdicts", path="data/verdicts.parquet", timestamp_field="at")),
)

asked = RequestSource(name="asked", schema=[
    Field(name="price", dtype=Float64), Field(name="pieces", dtype=Int64), Field(name="when", dtype=UnixTimestamp),
])


@on_demand_feature_view(sources=[gaps, asked], schema=[
    Field(name="total", dtype=Float64), Field(name="whole_text", dtype=String), Field(name="plus", dtype=Int64)])
def priced(inputs: pd.DataFrame) -> pd.DataFrame:
    from amounts import doubled

    made = pd.DataFrame()
    made["total"] = doubled(inputs["price"]) * inputs["pieces"] + inputs["share"] * 3
    made["whole_text"] = inputs["whole"].astype(str)
    made["plus"] = (inputs["gaps__whole"] + inputs["pieces"]).round()
    return made


@on_demand_feature_view(sources=[gaps, pairs, asked], mode="python", schema=[
    Field(name="ratio", dtype=Float64), Field(name="spoken", dtype=String)])
def python_mode(inputs: dict) -> dict:
    return {
        "ratio": [None if a is None else a / (b or 1) for a, b in zip(inputs["amount"], inputs["bought"])],
        "spoken": [f"{w}-{p}" for w, p in zip(inputs["word"], inputs["pieces"])],
    }


@on_demand_feature_view(sources=[times, asked], mode="python", singleton=True, schema=[Field(name="days", dtype=Float64)])
def one_by_one(inputs: dict) -> dict:
    seen, when = inputs["seen"], inputs["when"]
    return {"days": (when - seen).total_seconds() / 86400 if seen and when else -1.0}


@on_demand_feature_view(sources=[parts], schema=[Field(name="street_length", dtype=Int64)])
def without_request(inputs: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"street_length": [len(a["street"]) if a else -1 for a in inputs["address"]]})


@on_demand_feature_view(sources=[gaps], schema=[Field(name="centred", dtype=Float64)])
def over_all_rows(inputs: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"centred": inputs["amount"] - inputs["amount"].mean()})


@on_demand_feature_view(sources=[gaps, asked], schema=[Field(name="inverse", dtype=Float64)], mode="python")
def may_fail(inputs: dict) -> dict:
    return {"inverse": [1 / p for p in inputs["pieces"]]}


def service(name, *views):
    globals()[name] = FeatureService(name=name, features=list(views))


service("plain", gaps, times)
service("shops", sales, pairs, gaps[["whole"]])
service("trip", weather.with_name("origin").with_join_key_map({"city_code": "origin_city"}),
        weather.with_name("target").with_join_key_map({"city_code": "target_city"}))
service("one_end", weather.with_join_key_map({"city_code": "home"}))
service("global_rates", rates)
service("rates_of_user", rates, gaps[["amount"]])
service("structured", parts, gaps[["whole"]])
service("clicked", pushed, stream)
service("computed", gaps[["whole"]], priced, python_mode, one_by_one, without_request)
service("only_computed", priced[["total"]])
service("centred", over_all_rows)
service("failing", may_fail)
service("labelled", gaps[["whole", "amount"]], verdicts)
"""

#: A module that a function of an on-demand view calls. Feast keeps the text of the function alone.
HELPERS = "def doubled(values):\n    return values * 2\n"


def write(folder: Path) -> Path:
    """Definitions and data; the values of user 3 are missing in every view, user 6 has none at all."""
    data = folder / "data"
    data.mkdir(parents=True)
    (folder / "definitions.py").write_text(DEFINITIONS)
    (folder / "amounts.py").write_text(HELPERS)
    (folder / "feature_store.yaml").write_text(STORE.format(online="{type: sqlite, path: data/online.db}"))

    def table(name: str, keys: dict[str, list], **columns: list) -> None:
        times = {"at": NOW - DAY, "made": NOW}
        frame = pd.DataFrame({**keys, **times, **columns})
        older = frame.assign(at=NOW - 3 * DAY)
        pd.concat([older, frame]).to_parquet(data / f"{name}.parquet", index=False)

    known = [user for user in USERS if user != 6]
    users = {"user_id": known}

    def gap(make):
        return [None if user == 3 else make(user) for user in known]

    table(
        "gaps", users, whole=pd.array(gap(lambda u: u * 10), dtype="Int64"),
        small=pd.array(gap(lambda u: -u), dtype="Int32"), share=pd.array(gap(lambda u: u / 7), dtype="float32"),
        amount=gap(lambda u: u / 3), active=pd.array(gap(lambda u: u % 2 == 0), dtype="boolean"),
        word=gap(lambda u: ["NA", "None", "1.0", "01", "ü"][u - 1]),
    )  # fmt: skip
    table("times", users, seen=pd.to_datetime(gap(lambda u: NOW - u * DAY)))
    table("sales", {"shop_code": list(SHOPS)}, 매출=[1.5, 2.5, 3.5])
    both = [(user, code) for user in known for code in SHOPS]
    keys = {"user_id": [user for user, _ in both], "shop_code": [code for _, code in both]}
    table("pairs", keys, bought=[user * len(code) for user, code in both])
    table("weather", {"city_code": list(CITIES)}, degrees=[1.25, 2.5, -3.0])
    table("rates", {}, rate=[0.035])
    table(
        "parts", users, tags=gap(lambda u: {"kind": "a", "level": str(u)}), extra=gap(lambda u: f'{{"b": {u},  "a": [1]}}'),
        address=gap(lambda u: {"street": "s" * u, "zip": f"0{u}"}), vector=gap(lambda u: [u / 3, 1.0]),
    )  # fmt: skip
    table("pushed", users, clicks=[user * 2 for user in known])
    table("stream", users, scrolls=[user * 3 for user in known])
    verdicts = {"user_id": known, "at": NOW - DAY, "good": [u % 2 for u in known], "labeler": "kim"}
    pd.DataFrame(verdicts).to_parquet(data / "verdicts.parquet")
    return folder


def fill(folder: Path) -> FeastProvider:
    """The repository, registered and materialised."""
    provider = FeastProvider(write(folder))
    provider.apply()
    provider.materialize(datetime(1970, 1, 1, tzinfo=UTC), datetime.now(UTC))
    return provider

"""Settings: four layers in order, and errors that name key, value, what was wanted and where it came from."""

import json
import re

import pytest
from pydantic import SecretStr, ValidationError

from mlops_lib import config
from mlops_lib.errors import ConfigError
from mlops_lib.settings.data import DataSettings

SETTING = {
    "MLFLOW_TRACKING_URI": "http://mlflow.example.com:5000",
    "MLFLOW_EXPERIMENT_NAME": "other",
    "MLFLOW_MODEL_NAME": "other-model",
    "MLFLOW_MODEL_STAGE": "Staging",
    "MLFLOW_MODEL_ALIAS": "champion",
    "DATA_LOADER_TYPE": "own.module:Loader",
    "DATA_SOURCE_PATH": "other/purchases.csv",
    "OPENAI_API_KEY": "sk-from-environment",
    "OPENAI_BASE_URL": "http://llm.example.com/v1",
    "ANTHROPIC_API_KEY": "ak-from-environment",
    "MLFLOW_MODEL_VERSION": "7",
    "OPENLINEAGE_URL": "http://marquez.example.com:5000",
}


@pytest.fixture
def file(tmp_path):
    """The smallest config file."""
    path = tmp_path / "config.yaml"
    path.write_text("data: {source: a.csv, label: y}\nevaluation: {threshold: 0.5}\n")
    return path


@pytest.mark.parametrize("variable", config.ENVIRONMENT)
def test_an_environment_variable_wins_over_the_file(file, monkeypatch, variable):
    """Every name sets its setting, and the origin says so."""
    wanted = SETTING.get(variable, "given")
    monkeypatch.setenv(variable, wanted)
    loaded = config.load_with_origins(file)
    key = config.ENVIRONMENT[variable]
    value = config.flat(loaded.settings)[key]
    assert str(value.get_secret_value() if isinstance(value, SecretStr) else value) == wanted
    assert loaded.origins[key] == f"environment {variable}"


def test_every_promised_variable_is_read():
    """The names that MLflow, Kubeflow and the LLM clients use work as they are."""
    assert set(SETTING) <= set(config.ENVIRONMENT)


def test_argument_environment_file_default_in_this_order(file, monkeypatch):
    """Each layer wins over the ones after it, and the origin names the layer."""
    seen = []

    def look(overrides=None):
        loaded = config.load_with_origins(file, overrides)
        seen.append((loaded.settings.model.name, loaded.origins.get("model.name", "default")))

    look()
    file.write_text(file.read_text() + "model: {name: from-file}\n")
    look()
    monkeypatch.setenv("MLFLOW_MODEL_NAME", "from-environment")
    look()
    look({"model.name": "from-argument"})
    assert seen == [
        ("model", "default"),
        ("from-file", str(file)),
        ("from-environment", "environment MLFLOW_MODEL_NAME"),
        ("from-argument", "argument"),
    ]


def test_an_empty_variable_or_argument_is_no_value(file, monkeypatch):
    """`VAR= mlops run`, and a notebook's empty default, leave the layer below in force; zero is a value."""
    monkeypatch.setenv("DATA_SOURCE_PATH", "")
    settings = config.load(file, {"data.source": "", "data.loader": None, "train.seed": 0})
    assert settings.data.source == "a.csv" and settings.data.loader == "local" and settings.train.seed == 0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("evaluation: {thresold: 0.7}", ["'evaluation.thresold'", "Unknown key", "threshold"]),
        ("evalution: {threshold: 0.7}", ["'evalution'", "Unknown key", "evaluation", "serving"]),
        ("evaluation: {threshold: high}", ["'evaluation.threshold'", "'high'", "number"]),
        ("evaluation: {threshold: .nan}", ["'evaluation.threshold'", "nan", "finite"]),
        ("train: {max_epochs: 2.5}", ["'train.max_epochs'", "2.5", "integer"]),
        ("train: {max_epochs: '10'}", ["'train.max_epochs'", "'10'", "integer"]),
        ("train: {batch_size: -1}", ["'train.batch_size'", "-1", "greater than or equal to 0"]),
        ("model: {name: 7}", ["'model.name'", "7", "string"]),
        ("serving: {port: 99999}", ["'serving.port'", "99999", "65535"]),
        ("mlflow: {tracking_uri: ''}", ["'mlflow.tracking_uri'", "''", "at least 1 character"]),
        ("train: fast", ["'train'", "'fast'", "mapping"]),
        ("data: {source: a.csv, label: y, test_fraction: 0.9, validation_fraction: 0.2}", ["test_fraction"]),
        (
            "data: {source: a.csv, label: y, loader: parquett}",
            ["loader", "'parquett'", "Available: ", "local"],
        ),
        ("model: {wrapper: lightening}", ["wrapper", "'lightening'", "lightning", "pyfunc", "sklearn"]),
        (
            "evaluation: {threshold: 0.5, task: rankings}",
            ["task", "'rankings'", "classification", "regression"],
        ),
        ("evaluation: {threshold: 0.5, gate: {slice: {a: all}}}", ["Did you mean 'slices'?"]),
        (
            "evaluation: {threshold: 0.5, gate: {require: beter}}",
            ["Did you mean 'better'?", "require: outcome of the comparison that passes"],
        ),
        (
            "evaluation: {threshold: 0.5, gate: {margins: -0.1}}",
            ["It should be a mapping of names to values. margins: metric -> how much worse"],
        ),
        (
            "evaluation: {threshold: 0.5, gate: {margins: {roc_auc: -0.1}}}",
            ["greater than or equal to 0. margins: metric -> how much worse"],
        ),
        ("secrets: {openai_api_key: sk-1}", ["'secrets'", "environment variables alone"]),
        ("root: /tmp", ["'root'"]),
    ],
)
def test_a_bad_file_says_what_is_wrong(file, text, words):
    """The message names the key, the value, what was wanted, and the file."""
    section = text.partition(":")[0]
    kept = [line for line in file.read_text().splitlines() if not line.startswith(section + ":")]
    file.write_text("\n".join([*kept, text]))
    with pytest.raises(ConfigError) as error:
        config.load(file)
    assert [word for word in (*words, str(file)) if word not in str(error.value)] == []


def test_a_bad_variable_is_named_instead_of_the_file(file, monkeypatch):
    """A bad DATA_LOADER_TYPE is blamed on the variable, not on config.yaml."""
    monkeypatch.setenv("DATA_LOADER_TYPE", "parquett")
    with pytest.raises(
        ConfigError, match="environment DATA_LOADER_TYPE.*'parquett'.*Available: .*local"
    ) as error:
        config.load(file)
    assert str(file) not in str(error.value)


def test_all_problems_are_told_at_once(file):
    """One error lists both mistakes."""
    file.write_text("data: {source: a.csv}\nevaluation: {threshold: high}\n")
    with pytest.raises(ConfigError) as error:
        config.load(file)
    assert "'data.label' is missing" in str(error.value) and "'evaluation.threshold'" in str(error.value)


@pytest.mark.parametrize("text", ["- a list", "just text", "", "data: [unclosed", "a: b: c"])
def test_what_is_no_mapping_of_sections_is_refused(file, text):
    """The error names a file that holds no mapping."""
    file.write_text(text)
    with pytest.raises(ConfigError, match=str(file)):
        config.load(file)


def test_an_empty_section_means_its_defaults(file):
    """A section whose lines are all commented out is no mistake."""
    file.write_text(file.read_text() + "serving:\n  # stage: Staging\n")
    assert config.load(file).serving.stage == "Production"


def test_the_file_is_found_from_below_and_by_name(file, tmp_path, monkeypatch):
    """A notebook in a subfolder finds the project's file; MLOPS_CONFIG wins over what is near."""
    below = tmp_path / "notebooks" / "deep"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert config.load_with_origins().file == file
    other = tmp_path / "other.yaml"
    other.write_text(file.read_text())
    monkeypatch.setenv("MLOPS_CONFIG", str(other))
    assert config.load_with_origins().file == other


def test_no_file_at_all_says_how_to_name_one(tmp_path, monkeypatch):
    """Both errors say what to do."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="No config.yaml in .*MLOPS_CONFIG"):
        config.load()
    with pytest.raises(ConfigError, match="missing.yaml does not exist.*MLOPS_CONFIG"):
        config.load(tmp_path / "missing.yaml")


def test_relative_paths_start_from_the_files_folder(file, tmp_path, monkeypatch):
    """The same file means the same data wherever it is read from."""
    monkeypatch.chdir("/")
    settings = config.load(file)
    assert settings.path(settings.data.source) == tmp_path / "a.csv"
    assert str(settings.path("/else/b.csv")) == "/else/b.csv"


def test_the_digest_changes_with_the_configuration_alone(file, tmp_path, monkeypatch):
    """Two runs with the same digest had the same config.yaml and environment; secrets, place and arguments aside."""
    digest = config.load(file).digest()
    monkeypatch.setenv("OPENAI_API_KEY", "sk-other")
    moved = tmp_path / "moved" / "config.yaml"
    moved.parent.mkdir()
    moved.write_text(file.read_text())
    assert config.load(moved).digest() == digest
    assert config.load(file, {"train.seed": 1}).digest() == digest
    assert config.replaced(config.load(file), {"train.seed": 1}).digest() == digest
    moved.write_text(file.read_text().replace("data:", "train: {seed: 1}\ndata:"))
    assert config.load(moved).digest() != digest


def test_settings_cannot_be_changed_after_they_are_resolved(file):
    """`mlops config` shows the settings that everything uses."""
    with pytest.raises(ValidationError, match="frozen"):
        config.load(file).train.seed = 3


def test_secrets_do_not_show_themselves(file, monkeypatch):
    """Neither the text of the settings nor an error about them has the key in it."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    settings = config.load(file)
    shown = f"{settings} {settings!r} {config.flat(settings)} {settings.model_dump_json()}"
    assert "sk-very-secret" not in shown
    assert settings.secrets.openai_api_key.get_secret_value() == "sk-very-secret"
    file.write_text("evaluation: {threshold: high}\n")
    with pytest.raises(ConfigError) as error:
        config.load(file)
    assert "sk-very-secret" not in str(error.value)


def test_a_password_goes_only_to_the_address_that_it_came_with(file, monkeypatch):
    """Another data.source, given as an argument, must not get the password of DATA_SOURCE_PATH."""
    monkeypatch.setenv("DATA_SOURCE_PATH", "postgresql://me:pw-of-one@one/db")
    other = {"data.source": "postgresql://me@two/db"}
    settings = config.load(file)
    assert settings.secrets.data_password.get_secret_value() == "pw-of-one"
    assert config.load(file, other).secrets.data_password is None
    assert config.replaced(settings, other).secrets.data_password is None
    assert config.replaced(settings, {"train.seed": 3}).secrets.data_password is not None
    monkeypatch.setenv("DATA_SOURCE_PASSWORD", "pw-of-any")
    for chosen in (config.load(file, other), config.replaced(config.load(file), other)):
        assert chosen.secrets.data_password.get_secret_value() == "pw-of-any"


def test_the_service_needs_no_data_and_no_evaluation(tmp_path, monkeypatch):
    """A config file without these sections serves; its other sections are checked as always."""
    file = tmp_path / "config.yaml"
    file.write_text("model: {name: churn}\ndata: {key: who}\n")
    settings = config.load_for_service(file).settings
    assert (settings.model.name, settings.data.key) == ("churn", "who")
    with pytest.raises(ConfigError, match=r"Key 'data\.source' is missing"):
        config.load(file)
    file.write_text("serving: {prot: 1}\n")
    with pytest.raises(ConfigError, match=r"Unknown key 'serving\.prot'"):
        config.load_for_service(file)


def test_the_service_needs_no_file_where_the_environment_names_its_model(tmp_path, monkeypatch):
    """Registry and model are enough; the error names the variable that is missing."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow:5000")
    with pytest.raises(
        ConfigError, match="No config.yaml in .* needs the environment variable MLFLOW_MODEL_NAME"
    ):
        config.load_for_service()
    monkeypatch.setenv("MLFLOW_MODEL_NAME", "churn")
    loaded = config.load_for_service(None, {"serving.port": 81})
    assert loaded.settings.root == tmp_path and not loaded.file.exists()
    assert (loaded.settings.model.name, loaded.settings.serving.port) == ("churn", 81)
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    with pytest.raises(ConfigError, match="MLFLOW_TRACKING_URI"):
        config.load_for_service()


@pytest.mark.parametrize(
    ("address", "name", "alias", "version", "stage"),
    [
        ("models:/churn@champion", "churn", "champion", 0, "Production"),
        ("models:/churn/3", "churn", "", 3, "Production"),
        ("models:/churn/Staging", "churn", "", 0, "Staging"),
        ("models:/churn/production", "churn", "", 0, "Production"),
        ("models:/my model/12", "my model", "", 12, "Production"),
        ("models:/한국어 50%@좋은-것", "한국어 50%", "좋은-것", 0, "Production"),
        ("models:/a%20b/1", "a%20b", "", 1, "Production"),
        ("models:/a#b;c/Archived", "a#b;c", "", 0, "Archived"),
    ],
)
def test_an_address_names_the_model_to_serve(tmp_path, monkeypatch, address, name, alias, version, stage):
    """It wins over file and environment, and no file is needed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow:5000")
    monkeypatch.setenv(config.SERVED_ENV, address)
    file = tmp_path / "other.yaml"
    file.write_text("model: {name: other}\nserving: {alias: other, version: 9, stage: Staging}\n")
    for other in (None, file):
        settings = config.load_for_service(other).settings
        serving = settings.serving
        assert (settings.model.name, serving.alias, serving.version, serving.stage) == (
            name,
            alias,
            version,
            stage,
        )
        monkeypatch.setenv("MLFLOW_MODEL_NAME", "another")
        monkeypatch.setenv("MLFLOW_MODEL_ALIAS", "another")


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("models:/churn", "no address of a registered model"),
        ("models:/churn/latest", "'latest' is no version and no stage"),
        ("models:/churn/0", "'0' is no version"),
        ("models:/churn/v3", "'v3' is no version"),
        ("models:/churn@", "no address"),
        ("models:/@champion", "no address"),
        ("models:/churn@latest", "reserves the aliases"),
        ("models:/a/b/3", "no address"),
        ("models:/what?/3", "does not take '\\?'"),
        ("models:/m-" + "0" * 32, "Register it"),
        ("runs:/abc/model", "Register it"),
        ("churn", "no address"),
        ("s3://bucket/model", "no address"),
        ("models://server/churn/3", "no address"),
    ],
)
def test_an_address_that_names_no_registered_model_is_refused(tmp_path, monkeypatch, address, said):
    """With the forms that are taken."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow:5000")
    monkeypatch.setenv(config.SERVED_ENV, address)
    with pytest.raises(ConfigError, match=said):
        config.load_for_service()


@pytest.mark.parametrize("text", ["1e-3", "1E-3", "1.0e-3", "+1e-3", "1.e-3", ".1e-2", "0.001", "1_0e-4"])
@pytest.mark.parametrize(
    ("section", "key"),
    [
        ("model: {{params: {{learning_rate: {}}}}}", "model.params"),
        ("model: {{params: {{deep: [{{learning_rate: {}}}]}}}}", "model.params"),
        ("llm: {{timeout_s: {}}}", "llm.timeout_s"),
        ("search: {{space: {{model.params.lr: {{type: float, low: {}, high: 1}}}}}}", "search.space"),
        ("search: {{space: {{model.params.lr: {{type: categorical, choices: [{}, 1]}}}}}}", "search.space"),
        ("serving: {{features: {{defaults: {{x: {}}}}}}}", "serving.features.defaults"),
        ("cluster: {{cpu: {}}}", "cluster.cpu"),
    ],
)
def test_a_number_with_an_exponent_is_a_number(file, section, key, text):
    """YAML 1.1 reads 1e-3 as text; here it is a number everywhere."""
    file.write_text(file.read_text() + section.format(text) + "\n")
    value = config.flat(config.load(file))[key]
    for _ in range(3):
        while isinstance(value, dict | tuple | list):
            value = next(iter(value.values() if isinstance(value, dict) else value))
        value = getattr(value, "low", None) or next(iter(getattr(value, "choices", ())), value)
    assert value == 0.001


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("train: {max_epochs: 010}", ["line 3", "010", "the number 8", "'010' in quotes"]),
        ("data: {source: a.csv, label: y, checks: {columns: {zip: {values: [007]}}}}", ["007", "quotes"]),
        ("pipeline: {cell_timeout_s: 1:30}", ["1:30", "the number 90"]),
        ("train: {seed: 1, seed: 2}", ["line 3", "seed", "again"]),
        ("llm: {timeout_s: 1e400}", ["1e400", "larger than any number"]),
        ("train: {max_epochs: '1e1'}", ["'train.max_epochs'", "'1e1'", "without quotes"]),
        ("data: {source: a.csv, label: no}", ["'data.label'", "False", "in quotes"]),
        ("data: {source: a.csv, label: 2020-01-01}", ["'data.label'", "2020", "in quotes"]),
        ("data: {source: a.csv, label: 1e5}", ["'data.label'", "100000", "in quotes"]),
        (
            "data: {source: a.csv, label: y, checks: {columns: {a: {values: [x, null]}}}}",
            ["values", "nullable: true"],
        ),
        ("data: {source: a.csv, label: y, checks: {columns: {a: {values: [.nan]}}}}", ["values", "'nan'"]),
        ("train: {max_epochs: 1,5}", ["5"]),
        ("llm: {timeout_s: 1,5}", ["5"]),
        ("llm: {timeout_s: 50%}", ["'llm.timeout_s'", "50%", "number"]),
    ],
)
def test_a_value_that_yaml_reads_otherwise_is_an_error(file, line, words):
    """Octals, times, keys that are there twice, booleans and dates: named with what to write."""
    section = line.partition(":")[0]
    kept = [old for old in file.read_text().splitlines() if not old.startswith(section + ":")]
    file.write_text("\n".join([*kept, *[""] * (2 - len(kept)), line]))
    with pytest.raises(ConfigError) as error:
        config.load(file)
    assert [word for word in (*words, str(file)) if word not in str(error.value)] == []


@pytest.mark.parametrize(
    ("section", "names"),
    [
        (
            "model: {name: %s}",
            ["team/churn", "a:b", "a?b", "a@b", "it's", "..", "..a", "a/../b", " ", "x" * 257, "a\tb"],
        ),
        ("mlflow: {experiment: %s}", ["x" * 481, ""]),
        ("pipeline: {name: %s}", ["x" * 101]),
        ("pipeline: {image: %s}", ["My Image", "shop/Train:1", "shop:", "shop:a b", "/shop"]),
        ("serving: {alias: %s}", ["a b", "latest", "Latest", "v3", "a/b", "x" * 256]),
        ("serving: {challenger: %s}", ["a.b", "v1"]),
        ("serving: {stage: %s}", ["Prod", "production2"]),
        ("cluster: {namespace: %s}", ["My Team", "team_a", "a.b", "-a", "x" * 64]),
        ("cluster: {volume_claim: %s}", ["Data", "a_b", "a/b", "a."]),
        ("cluster: {secret: %s}", ["LLM keys", "a_b"]),
        ("cluster: {secret_keys: [%s]}", ["OPENAI KEY", "1KEY", "A-B"]),
        ("cluster: {service_account: %s}", ["Trainer", "a b"]),
        ("cluster: {training_runtime: %s}", ["Torch"]),
        ("cluster: {gpu_type: %s}", ["nvidia gpu", "a/b/c", "/gpu"]),
        ("cluster: {node_selector: {%s: x}}", ["a b", "/a", "a/b/c"]),
        ("cluster: {node_selector: {pool: %s}}", ["a b", "a/b", "-a", "x" * 64]),
        ("cluster: {volume_path: %s}", ["mnt/data", "/a:b"]),
    ],
)
def test_a_name_that_is_refused_later_is_refused_here(file, section, names):
    """MLflow, Kubernetes and Docker would refuse these names after the training, or never find them again."""
    for name in names:
        text = file.read_text()
        file.write_text(text + section % json.dumps(name) + "\n")
        with pytest.raises(ConfigError, match=re.escape(section.partition(":")[0])):
            config.load(file)
        file.write_text(text)


@pytest.mark.parametrize(
    ("section", "names"),
    [
        ("model: {name: %s}", ["repurchase", "재구매", "my model", "a%b", "a#b", "Team.Churn-2", "$a"]),
        ("mlflow: {experiment: %s}", ["team/churn", "실험: 1"]),
        ("pipeline: {image: %s}", ["shop", "mlops-notebook-python:latest", "r.example.com:5000/team/shop:1.2-rc_3",
                                   "ghcr.io/a/b@sha256:" + "0" * 64]),
        ("serving: {alias: %s}", ["", "champion", "blue_2", "모델"]),
        ("serving: {stage: %s}", ["production", "Staging", "None"]),
        ("cluster: {namespace: %s}", ["", "team-a", "1a"]),
        ("cluster: {volume_claim: %s}", ["", "data.v1-2"]),
        ("cluster: {gpu_type: %s}", ["nvidia.com/gpu", "amd.com/gpu", "nvidia.com/mig-1g.5gb"]),
        ("cluster: {node_selector: {%s: x}}", ["pool", "cloud.google.com/gke-nodepool"]),
    ],
)  # fmt: skip
def test_usual_names_are_taken(file, section, names):
    """Other alphabets, spaces where they work, registries with ports, empty names for none."""
    text = file.read_text()
    for name in names:
        file.write_text(text + section % json.dumps(name, ensure_ascii=False) + "\n")
        config.load(file)


def test_settings_that_differ_from_their_defaults_are_known(tmp_path):
    """Required ones and given ones; a value that equals its default is none, wherever it was given."""
    (tmp_path / "config.yaml").write_text(
        "data: {source: a.csv, label: y, seed: 0, split: {by: label}}\nmodel: {name: m}\nevaluation: {threshold: 0.6}\n"
    )
    found = config.changed(config.load(tmp_path / "config.yaml"))
    assert {"data.source", "data.label", "data.split.by", "model.name", "evaluation.threshold"} <= found
    assert not {"data.seed", "data.key", "serving.port"} & found


def test_a_kind_that_there_is_not_is_one_line(tmp_path):
    """The message names the column and all kinds once."""
    (tmp_path / "config.yaml").write_text(
        "data: {source: a.csv, label: y, columns: {x: txt}}\nmodel: {name: m}\nevaluation: {threshold: 0.6}\n"
    )
    with pytest.raises(
        ConfigError, match="'data.columns.x' has value 'txt'.*'category'.*'month_first'"
    ) as refused:
        config.load(tmp_path / "config.yaml")
    assert "literal" not in str(refused.value) and "\n" not in str(refused.value)


def test_section_data_is_read_back_from_json():
    """As `mlops why` and the workers of a training read it: strictly, with lists as lists; defaults that depend too."""
    for given in (
        {"test_fraction": 1.0},
        {"label": ["y", "z"], "features": ["a"], "reference_columns": ["b"]},
    ):
        data = DataSettings.model_validate_json(json.dumps({"source": "a.csv", "label": "y", **given}))
        assert DataSettings.model_validate_json(data.model_dump_json()) == data
        assert data.validation_fraction == (0.0 if "test_fraction" in given else 0.15)

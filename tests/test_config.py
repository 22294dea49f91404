"""Settings: four layers in order, and errors that name key, value, what was wanted and where it came from."""

import pytest
from pydantic import SecretStr, ValidationError

from mlops_lib import config
from mlops_lib.errors import ConfigError

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
        ("train: {batch_size: 0}", ["'train.batch_size'", "0", "greater than or equal to 1"]),
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
            "evaluation: {threshold: 0.5, task: ranking}",
            ["task", "'ranking'", "classification", "regression"],
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

"""Known secrets and keys of well-known shapes, in content that is kept as data."""

import json
import time

import pytest

from mlops_lib import config
from mlops_lib.redact import mask, mask_secrets
from mlops_lib.redact.keys import Masker

DIGITS = "0123456789" * 5
SHAPES = {
    "OpenAI": "sk-proj-abcdEFGH1234_5678-ijkl",
    "Anthropic": "sk-ant-api03-abcdEFGH12345678",
    "AWS": "AKIAIOSFODNN7EXAMPLE",
    "Google": "AIza" + DIGITS[:35],
    "GitHub": "ghp_" + DIGITS[:36],
    "GitHub, fine-grained": "github_pat_" + DIGITS[:30],
    "Hugging Face": "hf_" + DIGITS[:34],
    "Slack": "xoxb-123456789012-abcdef",
    "Databricks": "dapi" + "0123456789abcdef" * 2,
    "Stripe": "sk_live_" + DIGITS[:24],
    "web token": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmN",
}


@pytest.mark.parametrize("key", SHAPES.values(), ids=SHAPES.keys())
@pytest.mark.parametrize(
    "around",
    ["{}", "Incorrect API key provided: {}.", '{{"error": "{}"}}', "a\\n{}\\nb", "?key={}&x=1", "'{}',"],
)
def test_a_key_of_a_known_shape_is_masked(key, around):
    """The key is gone, and the text around it is unchanged."""
    assert mask_secrets(around.format(key)) == around.format("***")


@pytest.mark.parametrize(
    "text",
    [
        "sk-learn-contrib-package-name", "task-1234567890-1234567890", "risk-0123456789abcdef0123",
        "max_tokens: 4000", "0123456789abcdef0123456789abcdef", "Bearer authentication is needed",
        "basic statistics are shown", "http://host:8080/a@b", "see https://example.com/docs?page=2",
        "a password=, then", "/tmp/AKIA", "eyJ is the beginning of JSON", "user@example.com", "the weights_0123456789",
    ],
)  # fmt: skip
def test_ordinary_text_is_kept(text):
    """Words, hashes, addresses without passwords and numbers are no keys."""
    assert mask_secrets(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Authorization: Bearer abc.def-123456", "Authorization: Bearer ***"),
        ("'authorization': 'Basic dXNlcjpwYXNzd29yZA=='", "'authorization': 'Basic ***'"),
        ("postgresql://app:hunter2@db/x", "postgresql://***@db/x"),
        ('{"uri": "redis://:hunter2@h:6379/0", "x": "a@b"}', '{"uri": "redis://***@h:6379/0", "x": "a@b"}'),
        ("store:6379,password=hunter2,ssl=true", "store:6379,password=***,ssl=true"),
        (
            "-----BEGIN RSA PRIVATE KEY-----\\nMIIEowIBAAKCAQEA\\n-----END RSA PRIVATE KEY-----",
            "-----BEGIN RSA PRIVATE KEY-----***-----END RSA PRIVATE KEY-----",
        ),
    ],
)
def test_headers_addresses_and_key_files_are_masked(text, shown):
    """Only the secret is replaced."""
    assert mask_secrets(text) == shown


@pytest.mark.parametrize(
    "name",
    ["OPENAI_API_KEY", "MLFLOW_TRACKING_PASSWORD", "AWS_SECRET_ACCESS_KEY", "HF_TOKEN", "REDIS_PASSWORD", "X_APIKEY",
     "AZURE_STORAGE_ACCOUNT_KEY", "DATA_SOURCE_PASSWORD", "CLIENT_SECRET", "my_passphrase"],
)  # fmt: skip
@pytest.mark.parametrize(
    "secret", ["do-not-log-this", "hunter2", 'quo"te\\and/slash', "비밀번호-비밀번호", "p%40ss word?"]
)
def test_the_value_of_a_secret_variable_is_masked(name, secret, monkeypatch):
    """The value is found as it is, in JSON with and without escapes, and encoded in an address."""
    from urllib.parse import quote

    monkeypatch.setenv(name, secret)
    forms = (
        secret,
        json.dumps([secret]),
        json.dumps([secret], ensure_ascii=False),
        f"http://h/?q={quote(secret, safe='')}",
    )
    for text in forms:
        masked = mask_secrets(f"before {text} after")
        assert "***" in masked and masked.startswith("before ") and masked.endswith(" after")
        assert secret not in masked and json.dumps(secret)[1:-1] not in masked
    assert Masker().known(secret.encode()) == b"***"


@pytest.mark.parametrize(
    ("name", "value"),
    [("OPENAI_API_KEY", "abc"), ("SSL_PRIVATE_KEY", "/etc/ssl/key.pem"), ("MAX_TOKENS", "tokens"), ("HF_TOKEN", "false"),
     ("TOKENIZERS_PARALLELISM", "disabled"), ("MLOPS_IMAGE", "registry"), ("API_KEYS", "keys.yaml")],
)  # fmt: skip
def test_values_that_are_no_secrets_are_kept(name, value, monkeypatch):
    """Paths, switches, short values and other variables are not masked: the word may be anywhere."""
    monkeypatch.setenv(name, value)
    assert mask_secrets(f"a {value} b") == f"a {value} b"


def test_a_short_secret_is_masked_as_a_word(monkeypatch):
    """A password that is an ordinary word does not take parts of other words with it."""
    monkeypatch.setenv("PGPASSWORD", "postgres")
    assert mask_secrets("postgresql with postgres") == "postgresql with ***"


def test_the_password_of_an_address_in_the_environment_is_known(monkeypatch):
    """A driver that shows the decoded password alone shows nothing."""
    monkeypatch.setenv("ANY_ADDRESS", "postgresql://app:hun%40ter-2-long@db/x")
    assert mask_secrets("login failed for hun%40ter-2-long, hun@ter-2-long") == "login failed for ***, ***"


def test_a_new_value_counts_at_once(monkeypatch):
    """No stale copy of the environment is used."""
    for secret in ("first-secret-value", "second-secret-value"):
        monkeypatch.setenv("SOME_TOKEN", secret)
        assert mask_secrets(secret) == "***"


def test_the_password_of_the_settings_is_known(tmp_path, monkeypatch):
    """A password that was taken out of data.source is masked in a text without an address."""
    (tmp_path / "config.yaml").write_text(
        "data: {source: x.csv, label: y}\nmodel: {name: m, wrapper: sklearn}\nevaluation: {threshold: 0}\n"
    )
    monkeypatch.setenv("DATA_SOURCE_PATH", "postgresql://app:sesame-open-now@db/x")
    config.load(tmp_path / "config.yaml")
    monkeypatch.delenv("DATA_SOURCE_PATH")
    assert mask("no access with sesame-open-now") == "no access with ***"


def test_every_text_of_a_value_is_masked(monkeypatch):
    """Lists, objects and the names of members; numbers and null stay."""
    monkeypatch.setenv("HF_TOKEN", "do-not-log-this")
    value = {"do-not-log-this": ["x do-not-log-this", 1, None, True, {"a": ("do-not-log-this",)}]}
    assert Masker().values(value) == {"***": ["x ***", 1, None, True, {"a": ["***"]}]}


@pytest.mark.parametrize(
    "part",
    [
        "sk-",
        "://",
        "://a:b",
        "eyJ.",
        "Bearer ",
        "Basic a",
        "BEGIN PRIVATE KEY-----",
        "password=",
        "AKIA",
        "gh",
        "x",
    ],
)
def test_long_texts_take_time_in_proportion(part):
    """Ten times the text takes at most forty times the processor time, for texts that are made to be slow."""

    def spent_s(text: str) -> float:
        began = time.process_time()
        mask_secrets(text)
        return time.process_time() - began

    short, long = part * (100_000 // len(part)), part * (1_000_000 // len(part))
    assert min(spent_s(long) for _ in range(3)) < 40 * max(min(spent_s(short) for _ in range(5)), 5e-4)

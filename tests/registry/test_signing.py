"""Signatures of model versions, made with real keys over real models in a registry."""

import shutil
from dataclasses import replace
from pathlib import Path

import mlflow
import pytest
from model_signing import hashing
from model_signing import signing as library
from typer.testing import CliRunner

from mlops_lib import config, registry, tracking
from mlops_lib.cli.app import app
from mlops_lib.errors import ConfigError, ModelError, RegistryError
from mlops_lib.registry import Registry, signing
from mlops_lib.wrappers.load import download
from tests.support.keys import make_keys


class Code(mlflow.pyfunc.PythonModel):
    """A model whose files hold code."""

    def predict(self, model_input: list[float]) -> list[float]:
        return model_input


@pytest.fixture(scope="module")
def signed(blank_store, tmp_path_factory):
    """Settings with a key, and versions 1 and 2 of one model, which are signed, and 3 and 4, which are not."""
    folder = tmp_path_factory.mktemp("signed")
    shutil.copy(blank_store, folder / "mlflow.db")
    private, _ = make_keys(folder)
    (folder / "config.yaml").write_text(
        "mlflow: {tracking_uri: 'sqlite:///mlflow.db'}\ndata: {source: rows.csv, label: y}\n"
        "model: {name: code}\nevaluation: {threshold: 0.0}\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MODEL_SIGNING_KEY", str(private))
        settings = config.load(folder / "config.yaml")
    tracking.connect(settings)
    versions = Registry(settings)
    for number in (1, 2, 3, 4):
        with mlflow.start_run() as run:
            mlflow.pyfunc.log_model(
                name="model", python_model=Code(), code_paths=[str(Path(__file__).parents[1] / "toys")],
                metadata={"number": number}, pip_requirements=["mlflow"],
            )  # fmt: skip
        made = versions.register("code", run.info.run_id, {})
        if number < 3:
            signing.sign(settings, made)
    return settings


def version(settings, number=1):
    """A version as the registry has it now."""
    return Registry(settings).resolve("code", version=number)


def public(settings):
    """The public key that belongs to the settings' private one."""
    return settings.root / "key-public.pem"


@pytest.fixture
def files(signed, tmp_path):
    """The files of version 1, to change."""
    return download(version(signed).uri, tmp_path)


def test_the_files_as_they_were_logged_are_accepted(signed, files):
    """The signature is on the version and not among the files, which keep their digest."""
    before = registry.model_digest(files)
    signing.check(version(signed), files, public(signed))
    assert registry.model_digest(files) == before and not list(files.glob("*sig*"))


def append(folder):
    (folder / "python_model.pkl").write_bytes((folder / "python_model.pkl").read_bytes() + b"\0")


def link(folder):
    (folder / "conda.yaml").unlink()
    (folder / "conda.yaml").symlink_to(folder / "python_env.yaml")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (append, "changed python_model.pkl"),
        (lambda folder: (folder / "code/evil.py").write_text(""), "added code/evil.py"),
        (lambda folder: (folder / ".gitignore").write_text(""), "added .gitignore"),
        (lambda folder: (folder / "code/toys/registered_model_meta").write_text(""), "added code/toys/registered"),
        (lambda folder: next(folder.glob("code/toys/*.py")).unlink(), "removed code/toys/"),
        (lambda folder: (folder / "python_model.pkl").rename(folder / "model.pkl"), "added model.pkl; removed python"),
        (link, "symlink"),
    ],
)  # fmt: skip
def test_files_that_differ_are_refused_by_name(signed, files, change, reason):
    """One byte more, an added or removed file, also one that git would ignore or that MLflow adds elsewhere."""
    change(files)
    with pytest.raises(ModelError, match=f"code version 1 is refused by serving.signed_by: .*{reason}"):
        signing.check(version(signed), files, public(signed))


def test_bytecode_that_somebody_added_is_refused(signed, files):
    """Python would run it in place of the source, which is unchanged."""
    (files / "code/toys/__pycache__").mkdir()
    (files / "code/toys/__pycache__/toy_models.cpython-311.pyc").write_bytes(b"")
    with pytest.raises(ModelError, match="added code/toys/__pycache__/toy_models"):
        signing.check(version(signed), files, public(signed))


def test_a_signature_holds_for_one_version(signed, files):
    """Version 2's signature on version 1, and version 1's files and signature as version 3."""
    one, two = version(signed), version(signed, 2)
    with pytest.raises(ModelError, match="made for another model or version"):
        signing.check(replace(one, tags=two.tags), files, public(signed))
    with pytest.raises(ModelError, match="made for another model or version"):
        signing.check(replace(one, version=3), files, public(signed))
    with pytest.raises(ModelError, match="made for another model or version"):
        signing.check(replace(one, name="other"), files, public(signed))
    with pytest.raises(ModelError, match="version 1.* the files in .* changed MLmodel"):
        signing.check(one, download(two.uri), public(signed))


def test_an_unsigned_version_is_refused(signed, files):
    """The message has the command that signs it."""
    with pytest.raises(
        ModelError, match="version 3 is refused .*not signed.*mlops sign code 3 -c other.yaml"
    ):
        signing.check(version(signed, 3), files, public(signed), "mlops sign code 3 -c other.yaml")


def test_another_key_is_refused(signed, files, tmp_path):
    """Whoever can write the registry can sign, but not with this key."""
    _, other = make_keys(tmp_path, "other")
    with pytest.raises(ModelError, match=f"not made with the private key of {other}"):
        signing.check(version(signed), files, other)


@pytest.mark.parametrize("text", ["-", "{}", "[]", '{"mediaType": 1}', "null"])
def test_a_damaged_signature_is_refused(signed, files, text):
    """A tag can hold any text."""
    damaged = replace(version(signed), tags={signing.SIGNATURE_TAG: text})
    with pytest.raises(ModelError, match="or is damaged"):
        signing.check(damaged, files, public(signed))


def test_a_signature_that_leaves_files_out_is_refused(signed, files, tmp_path):
    """The library lets a signature name paths that are not checked."""
    one = version(signed)
    folder = files.rename(tmp_path / signing._subject(one))
    (folder / "registered_model_meta").unlink(missing_ok=True)
    careless = library.Config().use_elliptic_key_signer(private_key=signed.secrets.signing_key)
    careless.set_hashing_config(hashing.Config().set_ignored_paths(paths=["code"])).sign(
        folder, tmp_path / "sig"
    )
    found = replace(one, tags={signing.SIGNATURE_TAG: (tmp_path / "sig").read_text()})
    with pytest.raises(ModelError, match="may leave files out: .*'code'"):
        signing.check(found, folder, public(signed))


@pytest.mark.parametrize("content", [None, "", "no key", "private"])
def test_a_wrong_public_key_is_named(signed, files, tmp_path, content):
    """A missing file, a file without a key, and the private key in the public one's place."""
    key = tmp_path / "wrong.pem"
    if content is not None:
        key.write_text(content.replace("private", Path(signed.secrets.signing_key).read_text()))
    with pytest.raises(ModelError, match=f"{key} has no public key .*openssl"):
        signing.check(version(signed), files, key)


@pytest.mark.slow
def test_keys_that_cannot_sign_are_named(signed, tmp_path, monkeypatch):
    """No key, a missing file, a public key, an RSA key, no password, a wrong one; then the right one."""
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    def sign() -> None:
        signing.sign(config.load(signed.root / "config.yaml"), version(signed, 4))

    with pytest.raises(ConfigError, match="Set MODEL_SIGNING_KEY .*openssl"):
        sign()
    locked, _ = make_keys(tmp_path, "locked", "the password")
    rsa_key = rsa.generate_private_key(65537, 2048)
    other = tmp_path / "rsa.pem"
    other.write_bytes(rsa_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    for key in (tmp_path / "missing.pem", public(signed), other, locked):
        monkeypatch.setenv("MODEL_SIGNING_KEY", str(key))
        with pytest.raises(ConfigError, match=f"{key} cannot sign: "):
            sign()
    monkeypatch.setenv("MODEL_SIGNING_KEY_PASSWORD", "wrong password")
    with pytest.raises(ConfigError, match="cannot sign: .*[Pp]assword") as error:
        sign()
    assert "wrong password" not in str(error.value)
    monkeypatch.setenv("MODEL_SIGNING_KEY_PASSWORD", "the password")
    sign()
    signing.check(version(signed, 4), download(version(signed, 4).uri), tmp_path / "locked-public.pem")


def test_too_many_files_are_refused_before_mlflow_refuses_the_tag(signed, monkeypatch):
    """The message has the length, and the limit."""
    monkeypatch.setattr(signing, "MAX_TAG_CHARS", 100)
    with pytest.raises(RegistryError, match=r"too many files .* [\d,]+ characters, .* takes 100"):
        signing.sign(signed, version(signed))


def test_the_command_signs_a_version(signed, monkeypatch, files):
    """The signature is new, and holds for the files."""
    monkeypatch.setenv("MODEL_SIGNING_KEY", signed.secrets.signing_key)
    before = version(signed).tags[signing.SIGNATURE_TAG]
    result = CliRunner().invoke(app, ["sign", "code", "1", "--config", str(signed.root / "config.yaml")])
    assert (result.exit_code, result.output) == (0, "code version 1 is signed.\n")
    assert version(signed).tags[signing.SIGNATURE_TAG] != before
    signing.check(version(signed), files, public(signed))

"""Signatures of model versions, by the library model-signing with a key pair of the user's own.

A signature covers the name and bytes of every file of the model, and the model's name and version
number. It is a tag of the version, in Sigstore's bundle format. The service checks it before it loads
the files; see docs/decisions/0316.
"""

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_lib.errors import ConfigError, MlopsError, ModelError, PluginError, RegistryError
from mlops_lib.redact import mask
from mlops_lib.registry.model_files import DOWNLOAD_NOTE, added_files
from mlops_lib.registry.versions import ModelVersion, Versions
from mlops_lib.settings import Settings
from mlops_lib.wording import listed

if TYPE_CHECKING:
    from model_signing.hashing import Config as Hashing
    from model_signing.manifest import Manifest

#: On a version: its signature.
SIGNATURE_TAG = "mlops.signature"
#: How every file is hashed. A signature that was made otherwise may leave files out.
SERIALIZATION = {"method": "files", "hash_type": "sha256", "allow_symlinks": False}
MAX_TAG_CHARS = 100_000
#: Names in a message about files that differ.
MAX_NAMES = 5
HOW_TO_MAKE_KEYS = (
    "Make a pair with: openssl ecparam -name prime256v1 -genkey -noout -out key.pem && "
    "openssl ec -in key.pem -pubout -out public.pem"
)


def sign(settings: Settings, version: ModelVersion) -> None:
    """Sign the files of a version with the private key that MODEL_SIGNING_KEY names.

    Raises:
        ConfigError: The variable is not set, or its file holds no private key that can sign.
        RegistryError: The files cannot be downloaded, or are too many for a tag.
    """
    with _library():
        from model_signing import signing

    signer = signing.Config()
    key, secret = settings.secrets.signing_key, settings.secrets.signing_key_password
    if not key:
        raise ConfigError(f"Set MODEL_SIGNING_KEY to the path of a private key. {HOW_TO_MAKE_KEYS}")
    # Declared as a text, which cryptography refuses.
    password: Any = secret.get_secret_value().encode() if secret else None
    try:
        signer.use_elliptic_key_signer(private_key=settings.path(key), password=password)
    except Exception as error:  # each kind of wrong key has an error of its own
        raise ConfigError(
            f"MODEL_SIGNING_KEY: {settings.path(key)} cannot sign: {error}. It must be a private key of curve P-256, "
            f"P-384 or P-521 in PEM form, its password in MODEL_SIGNING_KEY_PASSWORD. {HOW_TO_MAKE_KEYS}"
        ) from None
    with tempfile.TemporaryDirectory(prefix="mlops-model-") as temporary:
        folder = _downloaded(version, Path(temporary))
        signer.set_hashing_config(_hashing()).sign(folder, file := Path(temporary, "signature"))
        signature = file.read_text(encoding="utf-8")
    if len(signature) > MAX_TAG_CHARS:
        raise RegistryError(
            f"{version.name} version {version.version} has too many files to be signed: its signature has "
            f"{len(signature):,} characters, and a tag in MLflow takes {MAX_TAG_CHARS:,}."
        )
    Versions(settings).describe(version, {SIGNATURE_TAG: signature})


def check(version: ModelVersion, folder: Path, public_key: Path, remedy: str = "") -> None:
    """Check that the files in `folder` are those of the version that the owner of a key signed.
    Runs no code of the model.

    Args:
        version: The version.
        folder: Its files.
        public_key: File of the key.
        remedy: Command that signs the version, for the error.

    Raises:
        ModelError: The version is not signed, is signed with another key or for another version,
            or its files differ.
    """
    name = f"{version.name} version {version.version}"
    refused = f"{name} is refused by serving.signed_by"
    if not (signature := version.tags.get(SIGNATURE_TAG)):
        raise ModelError(f"{refused}: it is not signed." + (f" Sign it with: {remedy}" if remedy else ""))
    try:
        signed = _signed(signature, public_key)
    except MlopsError as error:
        raise ModelError(f"{refused}: {error}") from None
    except Exception as error:  # the library checks little of a signature's form
        raise ModelError(
            f"{refused}: its signature was not made with the private key of {public_key}, or is damaged "
            f"({type(error).__name__}: {error})."
        ) from None
    if signed.model_name != _subject(version):
        raise ModelError(f"{refused}: its signature was made for another model or version.")
    if signed.serialization_type != SERIALIZATION:
        raise ModelError(f"{refused}: its signature may leave files out: {signed.serialization_type}.")
    try:
        found = _hashing(folder).hash(folder)
    except (OSError, ValueError) as error:  # ValueError: a symbolic link
        raise ModelError(f"{refused}: {error}") from None
    if differences := _differences(signed, found):
        raise ModelError(f"{refused}: the files in {folder} are not those that were signed: {differences}.")


def _subject(version: ModelVersion) -> str:
    """The subject of a signature. A digest, because the library takes a folder's name
    and a model's may be longer."""
    return hashlib.sha256(version.uri.encode()).hexdigest()


def _downloaded(version: ModelVersion, into: Path) -> Path:
    """The files of a version as they were logged, in a folder that has the name of the version's subject."""
    import mlflow

    folder = into / _subject(version)
    folder.mkdir()
    try:
        mlflow.artifacts.download_artifacts(version.uri, dst_path=str(folder))
    except Exception as error:  # object stores raise errors of their own
        raise RegistryError(f"The files of {version.uri} cannot be downloaded: {mask(str(error))}") from error
    if not (folder / "MLmodel").is_file():  # MLflow makes an empty folder if the files are gone
        raise RegistryError(f"The files of {version.uri} cannot be downloaded: its MLmodel file is gone.")
    for added in list(added_files(folder)):
        added.unlink()
    return folder


def _signed(signature: str, public_key: Path) -> "Manifest":
    """The names and digests of the files that the owner of the key has signed.

    The library's `verifying.Config` compares files too, but neither tells which model a signature is for nor
    refuses one that leaves files out.

    Raises:
        PluginError: The library is not installed.
        ConfigError: There is no usable key.
        Exception: The signature is damaged, or made with another key.
    """
    with _library():
        from model_signing._signing.sign_ec_key import Verifier
        from model_signing._signing.sign_sigstore_pb import Signature
    try:
        verifier = Verifier(public_key)
    except Exception as error:  # each kind of wrong key has an error of its own
        raise ConfigError(
            f"{public_key} has no public key of curve P-256, P-384 or P-521 in PEM form: {error}. {HOW_TO_MAKE_KEYS}"
        ) from None
    with tempfile.NamedTemporaryFile("w", encoding="utf-8") as file:
        file.write(signature)
        file.flush()
        return verifier.verify(Signature.read(Path(file.name)))


def _hashing(folder: Path | None = None) -> "Hashing":
    """How files are hashed: all of them, but for the file that MLflow adds when it downloads `folder`."""
    from model_signing.hashing import Config

    ignored = [DOWNLOAD_NOTE] if folder and (folder / DOWNLOAD_NOTE).is_file() else []
    return Config().set_ignored_paths(paths=ignored, ignore_git_paths=False)


def _differences(signed: "Manifest", found: "Manifest") -> str:
    """The names of files that were changed, added or removed; "" for none."""
    before, now = (
        {file.identifier: file.digest for file in files.resource_descriptors()} for files in (signed, found)
    )
    kinds = {
        "changed": [name for name in before if name in now and before[name] != now[name]],
        "added": [name for name in now if name not in before],
        "removed": [name for name in before if name not in now],
    }
    return "; ".join(f"{kind} {listed(names, MAX_NAMES)}" for kind, names in kinds.items() if names)


@contextmanager
def _library() -> Iterator[None]:
    """Import model-signing."""
    try:
        yield
    except ImportError as error:
        raise PluginError(
            f"Signatures need model-signing ({error}). Install it with: pip install 'mlops-lib[signing]'"
        ) from None

"""``python:3.11-slim``: pulled, or where no registry answers, a stand-in made of the host's Debian and CPython."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.containers.engine import Docker, EngineError
from tests.support.servers import install

NAME = "python:3.11-slim"
#: Packages of the libraries that CPython is linked against.
LIBRARIES = (
    "passwd,libstdc++6,ca-certificates,netbase,tzdata,libbz2-1.0,libexpat1,libffi8,liblzma5,libncursesw6,libreadline8,"
    "libsqlite3-0,libssl3,libuuid1,zlib1g"
)
DEBIANS_PYTHON = "python3.11,python3.11-venv,python3-pip"
LEFT_OUT = (
    "test",
    "tests",
    "idlelib",
    "tkinter",
    "turtledemo",
    "site-packages",
    "__pycache__",
    "*.a",
    "_tkinter*",
)
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"


def provide(docker: Docker) -> bool:
    """Make the engine have the image; True when it is a stand-in.

    Raises:
        EngineError: It can neither be pulled nor made here.
    """
    if docker("image", "ls", "--quiet", NAME):
        return False
    said = docker("pull", NAME, check=False, timeout_s=600)
    if docker("image", "ls", "--quiet", NAME):
        return False
    if not docker.own:  # in somebody's engine it would pass for the official image
        raise EngineError(f"{NAME} cannot be pulled: {said}")
    install("mmdebstrap")
    with tempfile.TemporaryDirectory(prefix="base-") as folder:
        root = Path(folder) / "root"
        _debian(root)
        _python(root)
        _import(docker, root)
    return True


def _debian(root: Path) -> None:
    """A minimal Debian with the host's release, package sources and certificates."""
    release = _os_release()["VERSION_CODENAME"]
    places = [Path("/etc/apt/sources.list"), *Path("/etc/apt/sources.list.d").glob("*.sources")]
    sources = [str(file) for file in places if file.is_file() and release in file.read_text()]
    packages = f"{LIBRARIES},{DEBIANS_PYTHON}" if sys.base_prefix == "/usr" else LIBRARIES
    without = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("man", "locale", "doc")]
    _run(
        "mmdebstrap",
        "--variant=essential",
        "--quiet",
        "--dpkgopt=force-unsafe-io",
        f"--include={packages}",
        *without,
        release,
        str(root),
        *sources,
    )
    own = Path("/usr/local/share/ca-certificates")
    shutil.copytree(own, root / own.relative_to("/"), dirs_exist_ok=True)
    _run("chroot", str(root), "update-ca-certificates")


def _python(root: Path) -> None:
    """CPython under /usr/local, as in the official image: a copy of the one that runs this test, or Debian's."""
    local = root / "usr/local"
    if sys.base_prefix == "/usr":
        for link, target in (("python3.11", "python3.11"), ("pip", "pip3")):
            (local / "bin" / link).symlink_to(f"/usr/bin/{target}")
        (root / "usr/lib/python3.11/EXTERNALLY-MANAGED").unlink(missing_ok=True)
    else:
        base = Path(sys.base_prefix)
        shutil.copy2(base / "bin/python3.11", local / "bin")
        for library in (base / "lib").glob("libpython3*.so*"):
            shutil.copy2(library, local / "lib", follow_symlinks=False)
        shutil.copytree(
            base / "lib/python3.11", local / "lib/python3.11", ignore=shutil.ignore_patterns(*LEFT_OUT)
        )
        (local / "lib/python3.11/site-packages").mkdir()
        _run("chroot", str(root), "ldconfig")
        _run("chroot", str(root), "/usr/local/bin/python3.11", "-m", "ensurepip", "--default-pip")
    for link, target in (("python3", "python3.11"), ("python", "python3")):
        (local / "bin" / link).symlink_to(target)


def _import(docker: Docker, root: Path) -> None:
    """Import the folder into the engine, with the official image's settings and the host's certificates for pip and uv."""
    settings = [
        'CMD ["python3"]',
        "ENV LANG=C.UTF-8",
        "ENV PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin",
    ]
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT"):
        settings.append(f"ENV {name}={CERTIFICATES}")
    for name in ("PIP_INDEX_URL", "UV_INDEX_URL", "UV_DEFAULT_INDEX"):
        settings += [f"ENV {name}={os.environ[name]}"] if os.environ.get(name) else []
    changes = [option for setting in settings for option in ("--change", setting)]
    with subprocess.Popen(
        ["tar", "-C", str(root), "--numeric-owner", "-c", "."], stdout=subprocess.PIPE
    ) as tar:
        subprocess.run([docker.program, "import", *changes, "-", NAME], stdin=tar.stdout, check=True)


def _os_release() -> dict[str, str]:
    lines = Path("/etc/os-release").read_text().splitlines()
    return {name: value.strip('"') for name, _, value in (line.partition("=") for line in lines)}


def _run(*command: str) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}:\n{done.stdout[-4000:]}"

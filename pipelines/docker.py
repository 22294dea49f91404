"""Runs each step in a container of this machine: the notebook image, hardened.

The config file, the notebooks, the data (all read-only) and the work folder are mounted at their own paths,
so that a path means the same inside and outside. The code is the image's.
"""

import os
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_lib import tracking
from mlops_lib.config import CONFIG_ENV, ENVIRONMENT
from mlops_lib.errors import MlopsError
from mlops_lib.settings import Settings

if TYPE_CHECKING:
    from kfp.local import DockerRunner

#: The user and group of Dockerfile.notebook.
IMAGE_USER = 10001
#: Label of each container; its value is the pipeline run.
LABEL = "mlops.run"
#: Program that ends the step in a container. The first process there is a shell, which passes no signal on.
#: A raw string, because an argument of a process cannot hold a zero byte.
TERMINATE = r"""
import os, pathlib, signal
for process in pathlib.Path("/proc").glob("[0-9]*"):
    try:
        if b"\0kfp.dsl.executor_main\0" in (process / "cmdline").read_bytes():
            os.kill(int(process.name), signal.SIGTERM)
    except OSError:  # gone meanwhile, or another user's
        pass
"""


def stop(run_id: str) -> None:
    """Ask the steps of a run to end; they store their record first."""
    import docker

    with closing(docker.from_env()) as client:
        for container in client.containers.list(filters={"label": f"{LABEL}={run_id}"}):
            container.exec_run(["python", "-c", TERMINATE])


def docker_runner(settings: Settings, folder: Path, environment: dict[str, str]) -> "DockerRunner":
    """The runner of kfp.local for the image ``pipeline.image``.

    Args:
        settings: Resolved settings.
        folder: The folder of the run, which kfp.local mounts.
        environment: Variables for the steps, added to those that override settings.

    Raises:
        MlopsError: No container engine answers, or it does not have the image.
    """
    from docker.types import Mount
    from kfp.local import DockerRunner

    image = settings.pipeline.image
    digest = _digest_of_image(image)
    work = settings.path(settings.pipeline.work_dir)
    read = [Path(environment[CONFIG_ENV]), settings.path(settings.pipeline.notebooks)]
    if (source := settings.path(settings.data.source)).exists():
        read.append(source)
    if settings.secrets.signing_key:
        read.append(settings.path(settings.secrets.signing_key))
    mounts = [Mount(str(path), str(path), "bind", read_only=True) for path in read]
    mounts.append(Mount(str(work), str(work), "bind"))
    passed_on = {
        name: os.environ[name] for name in (*ENVIRONMENT, *tracking.STORE_ENV) if os.environ.get(name)
    }
    passed_on |= {
        "MLOPS_IMAGE": image,
        "MLOPS_IMAGE_DIGEST": digest,
        "GIT_COMMIT": tracking.lineage(settings).get("mlops.git_commit", ""),
        # A home folder that any user can write to.
        "HOME": "/tmp",
    }
    memory = settings.cluster.memory.lower().removesuffix("i")
    return DockerRunner(
        entrypoint=[""],
        environment={**passed_on, **environment},
        mounts=mounts,
        # A step must reach an MLflow server at localhost.
        network_mode="host",
        user=_user(work),
        read_only=True,
        tmpfs={"/tmp": "mode=1777,exec"},
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
        pids_limit=512,
        mem_limit=memory,
        memswap_limit=memory,
        nano_cpus=int(min(settings.cluster.cpu, os.cpu_count() or 1) * 1e9),
        labels={LABEL: folder.name},
        shm_size="256m",
    )


def _user(work: Path) -> str:
    """The user of the steps: the caller; for root the user of the image, who then owns the work folder."""
    if uid := os.getuid():
        return f"{uid}:{os.getgid()}"
    for path in (work, *work.rglob("*")):
        os.chown(path, IMAGE_USER, IMAGE_USER, follow_symlinks=False)
    return f"{IMAGE_USER}:{IMAGE_USER}"


def _digest_of_image(image: str) -> str:
    """The digest that a registry has of an image; of an image that was only built here, its id.

    Raises:
        MlopsError: There is no such image, which kfp.local would try to pull, failing with a traceback.
    """
    import docker
    from docker.errors import DockerException, ImageNotFound

    try:
        with closing(docker.from_env()) as client:
            found = client.images.get(image)
            return next(iter(found.attrs.get("RepoDigests") or []), str(found.id)).rpartition("@")[2]
    except ImageNotFound:
        raise MlopsError(
            f"There is no image {image!r} (pipeline.image). Build it with: "
            f"docker build -f Dockerfile.notebook -t {image} ."
        ) from None
    except DockerException as error:
        raise MlopsError(f"No container engine answers ({error}). Is Docker running?") from None

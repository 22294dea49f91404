"""Each step in a container of this machine: the notebook image, hardened, with the paths of the outside.

Config, notebooks and data are mounted where they lie, the first three read-only, so that every path means the
same inside and out; the code is the image's.
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
#: On each container: the pipeline run that it belongs to.
LABEL = "mlops.run"
#: Run inside a container, whose first process is a shell that would not pass a signal on to the step. Raw: the zeros
#: are for the Python in there to read, and no argument of a process may hold a real one.
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
    """Ask the steps of a run to end; they keep their record first."""
    import docker

    with closing(docker.from_env()) as client:
        for container in client.containers.list(filters={"label": f"{LABEL}={run_id}"}):
            container.exec_run(["python", "-c", TERMINATE])


def docker_runner(settings: Settings, folder: Path, environment: dict[str, str]) -> "DockerRunner":
    """The runner of kfp.local for the image ``pipeline.image``.

    Args:
        settings: Resolved settings.
        folder: The run's own folder, which kfp.local mounts itself.
        environment: Variables for the steps, on top of those that override settings.

    Raises:
        MlopsError: No container engine answers, or it does not have the image.
    """
    from docker.types import Mount
    from kfp.local import DockerRunner

    image = settings.pipeline.image
    _check_image(image)
    work = settings.path(settings.pipeline.work_dir)
    read = [Path(environment[CONFIG_ENV]), settings.path(settings.pipeline.notebooks)]
    if (source := settings.path(settings.data.source)).exists():
        read.append(source)
    mounts = [Mount(str(path), str(path), "bind", read_only=True) for path in read]
    mounts.append(Mount(str(work), str(work), "bind"))
    passed_on = {
        name: os.environ[name] for name in (*ENVIRONMENT, *tracking.STORE_ENV) if os.environ.get(name)
    }
    passed_on |= {
        "MLOPS_IMAGE": image,
        "GIT_COMMIT": tracking.lineage(settings).get("mlops.git_commit", ""),
        # Steps that write as another user than root's must find a home they can write to.
        "HOME": "/tmp",
    }
    memory = settings.cluster.memory.lower().removesuffix("i")
    return DockerRunner(
        entrypoint=[""],
        environment={**passed_on, **environment},
        mounts=mounts,
        # What the laptop reaches at localhost (an MLflow server), a step reaches too.
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
    """The caller, so that the files are the caller's. No step runs as root: root's are handed to the image's user."""
    if uid := os.getuid():
        return f"{uid}:{os.getgid()}"
    for path in (work, *work.rglob("*")):
        os.chown(path, IMAGE_USER, IMAGE_USER, follow_symlinks=False)
    return f"{IMAGE_USER}:{IMAGE_USER}"


def _check_image(image: str) -> None:
    """kfp.local would try to pull an image that is not there and fail with a traceback."""
    import docker
    from docker.errors import DockerException, ImageNotFound

    try:
        with closing(docker.from_env()) as client:
            client.images.get(image)
    except ImageNotFound:
        raise MlopsError(
            f"There is no image {image!r} (pipeline.image). Build it with: "
            f"docker build -f Dockerfile.notebook -t {image} ."
        ) from None
    except DockerException as error:
        raise MlopsError(f"No container engine answers ({error}). Is Docker running?") from None

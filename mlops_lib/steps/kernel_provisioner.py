"""Lets Jupyter use the process of `kernel_ahead` as its kernel."""

import os
from importlib.metadata import EntryPoint
from typing import Any

from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.provisioning import KernelProvisionerFactory, LocalProvisioner

from mlops_lib.steps import kernel_ahead


class StartedAhead(LocalProvisioner):
    """Hands the start of a kernel to the process that waits; where there is none, starts one as always."""

    process: Any  # a `Popen`, or what has the part of it that jupyter_client uses

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        """Start the kernel."""
        if not (waiting := kernel_ahead.take()):
            return await super().launch_kernel(cmd, **kwargs)
        folder = kwargs.get("cwd") or os.getcwd()
        environment = {**kwargs["env"], "JPY_PARENT_PID": str(os.getpid())}  # as jupyter_client does
        try:
            waiting.become(cmd, folder, environment)
        except OSError:
            waiting.stop()
            return await super().launch_kernel(cmd, **kwargs)
        self.process, self.cwd = waiting.process, folder
        self.pid = self.pgid = waiting.process.pid
        return self.connection_info


def use() -> None:
    """Make it this process's provisioner for kernels that ask for no other."""
    factory = KernelProvisionerFactory.instance()
    factory.provisioners["mlops"] = EntryPoint("mlops", f"{__name__}:StartedAhead", factory.GROUP_NAME)
    factory.default_provisioner_name = "mlops"

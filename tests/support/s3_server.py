"""A real S3 server for tests: SeaweedFS."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from tests.support.servers import free_port
from tests.support.waiting import until

KEY, SECRET = "mlops-key", "t0p-secret"
IDENTITIES = f"""
{{"identities": [{{"name": "mlops", "actions": ["Admin", "Read", "Write", "List"],
  "credentials": [{{"accessKey": "{KEY}", "secretKey": "{SECRET}"}}]}}]}}
"""
BIN = Path(sys.executable).parent


class S3:
    """A SeaweedFS on a folder, with the bucket ``mlops``."""

    def __init__(self, folder: Path) -> None:
        (folder / "data").mkdir()
        (folder / "s3.json").write_text(IDENTITIES)
        self.url = f"http://127.0.0.1:{free_port()}"
        options = {
            "dir": folder / "data",
            "ip": "127.0.0.1",
            "ip.bind": "127.0.0.1",
            "s3.config": folder / "s3.json",
        }
        for name in ("master", "volume", "filer"):
            options |= {f"{name}.port": free_port(), f"{name}.port.grpc": free_port()}
        options |= {"s3.port": self.url.rpartition(":")[2], "s3.port.grpc": free_port()}
        options |= {"s3.port.iceberg": 0, "s3.port.lance": 0, "master.telemetry": "false"}
        options["master.volumeSizeLimitMB"] = 64
        command = [BIN / "weed", "server", "-s3", *(f"-{name}={value}" for name, value in options.items())]
        self.log = folder / "weed.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command, cwd=folder, stdout=log, stderr=log, start_new_session=True
            )
        self.client = boto3.client(
            "s3",
            endpoint_url=self.url,
            aws_access_key_id=KEY,
            aws_secret_access_key=SECRET,
            region_name="us-east-1",
        )
        until(self._bucket_made, "SeaweedFS makes a bucket", self.log.read_text)

    def _bucket_made(self) -> bool:
        try:
            self.client.create_bucket(Bucket="mlops")
        except (BotoCoreError, ClientError):
            assert self.process.poll() is None, self.log.read_text()
            return False
        return True

    def keys(self) -> list[str]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket="mlops")
        return [item["Key"] for page in pages for item in page.get("Contents", [])]

    def kill(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

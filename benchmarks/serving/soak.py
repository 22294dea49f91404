"""Send many requests to a model with code, and report the memory of gateway,
template and model process at intervals.

    python benchmarks/serving/kinds.py /tmp/kinds --seconds 1 --rounds 1 --only pyfunc
    python benchmarks/serving/soak.py /tmp/kinds pyfunc --requests 200000

Memory is the proportional set size (PSS) in MiB. It must be flat after the first intervals.
Requests come from `wrk`.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from memory import processes, pss_mib, running  # beside this file
from run import ROW


def main() -> None:
    """Print a line for each interval."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("model")
    parser.add_argument("--requests", type=int, default=200_000)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--interval", type=int, default=10, help="seconds")
    options = parser.parse_args()
    file = options.folder.resolve() / f"{options.model}.yaml"
    body = json.dumps({"inputs": [ROW]})
    with running(file) as (service, url), tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(
            f"wrk.method='POST'\nwrk.body=[==[{body}]==]\nwrk.headers['Content-Type']='application/json'\n"
        )
        script.flush()
        command = ["wrk", "-t1", f"-c{options.connections}", f"-d{options.interval}s", "--timeout", "30s"]
        sent, began = 0, time.monotonic()
        while True:
            sizes = "  ".join(f"{role} {pss_mib(process):6.1f}" for role, process in processes(service))
            print(f"{sent:8d} requests  {time.monotonic() - began:5.0f} s  {sizes}", flush=True)
            if sent >= options.requests:
                return
            out = subprocess.run(
                [*command, "-s", script.name, f"{url}/predict"], capture_output=True, text=True, check=True
            ).stdout
            if "Non-2xx" in out:
                sys.exit(f"Some answers were not 2xx:\n{out}")
            sent += int(re.search(r"(\d+) requests in", out)[1])


if __name__ == "__main__":
    main()

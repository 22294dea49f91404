"""Run the command line in a terminal of a known width."""

import fcntl
import os
import pty
import re
import struct
import termios
from pathlib import Path

from tests.support import warm
from tests.support.waiting import LIMIT_S


def in_terminal(*arguments: str, columns: int, answers: str = "", cwd: Path | None = None) -> tuple[int, str]:
    """Exit status, and everything that the terminal showed while `answers` were typed; lines end as they were sent."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 60, columns, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "NO_COLOR")}
    environment |= {"TERM": "xterm-256color"}
    os.write(leader, answers.encode())
    command = ["mlops", *arguments]
    process = warm.start(command, cwd or Path.cwd(), environment, follower, follower, given=follower)
    os.close(follower)
    shown = b""
    while True:
        try:
            part = os.read(leader, 65536)
        except OSError:  # Linux raises it when no process has the terminal open any more
            break
        if not part:
            break
        shown += part
    os.close(leader)
    return process.wait(LIMIT_S), re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())

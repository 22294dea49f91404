"""Print the requirements of the distribution and of some of its extras, for an image that holds no build tool.

python deploy/requirements.py torch,serve > requirements.txt
"""

import sys
import tomllib
from pathlib import Path

project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
extras = project["optional-dependencies"]
chosen = [name for name in sys.argv[1].split(",") if name]
if unknown := [name for name in chosen if name not in extras]:
    sys.exit(f"No extra {', '.join(unknown)} in pyproject.toml. Extras: {', '.join(extras)}.")
print("\n".join([*project["dependencies"], *(line for name in chosen for line in extras[name])]))

"""Commands that a README shows, run as a reader would."""

import re
import subprocess
import sys
from pathlib import Path


def blocks(readme: str) -> list[str]:
    """The indented command blocks of a README."""
    return [
        re.sub("^    ", "", block, flags=re.MULTILINE)
        for block in re.findall(r"(?:^    .*\n(?:\n(?=    ))?)+", readme, re.MULTILINE)
    ]


def run(script: str, where: Path) -> None:
    """Run a script in a folder, with the programs of this environment."""
    environment = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "MPLBACKEND": "agg"}
    subprocess.run(["bash", "-ec", script], cwd=where, env=environment, check=True, capture_output=True)

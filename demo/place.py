"""Where the demo keeps its files, and how its programs are started."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from demo import DemoError

REPOSITORY = Path(__file__).parents[1]
HOME = REPOSITORY / "var" / "demo"
LAB = HOME / "lab"
LOG = HOME / "service.log"
PID_FILE = HOME / "service.pid"
PASSWORD = HOME / "admin-password"
TOKEN = HOME / "token"
SETTINGS = HOME / "firstbox.env"
BIN = Path(sys.executable).parent


def environment() -> dict[str, str]:
    """This environment with the demo's home as the only setting; the rest is in its file."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith("FIRSTBOX_")}
    lab_cache = {name: os.environ[name] for name in ("FIRSTBOX_LAB_CACHE",) if name in os.environ}
    return kept | lab_cache | {"FIRSTBOX_HOME": str(HOME)}


def output_of(*command: str) -> str:
    """What a command prints on standard output; its failure, in its own words, is a DemoError."""
    ran = subprocess.run(
        command,
        cwd=REPOSITORY,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode:
        raise DemoError(ran.stderr.strip() or f"`{' '.join(command)}` ended with an error.")
    return ran.stdout


def firstbox(*arguments: str) -> str:
    """What the command `firstbox` prints."""
    return output_of(str(BIN / "firstbox"), *arguments)


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, from its first byte on."""
    path.unlink(missing_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text + "\n")


def write_settings(values: Mapping[str, object]) -> None:
    """Write the settings file; everything that reads the demo's home obeys it."""
    lines = [f"FIRSTBOX_{name.upper()}='{value}'" for name, value in values.items()]
    write_private(SETTINGS, "\n".join(lines))


def read_setting(name: str) -> str:
    """A value out of the settings file, as text; empty if there is none."""
    begin = f"FIRSTBOX_{name.upper()}='"
    lines = SETTINGS.read_text().splitlines() if SETTINGS.exists() else []
    return next((line.removeprefix(begin)[:-1] for line in lines if line.startswith(begin)), "")

"""A clock that is wrong, and that a test sets while the process that looks at it runs.

clock = WrongClock(tmp_path, hours=1)
subprocess.Popen(command, env=os.environ | clock.environment)
"""

import subprocess
from pathlib import Path

_SOURCE = Path(__file__).with_suffix(".c")


class WrongClock:
    """The calendar time of processes that are started with its `environment`; their children's is right."""

    def __init__(self, directory: Path, name: str, hours: int = 0) -> None:
        library = directory / "clock.so"
        if not library.exists():
            command = ["gcc", "-O2", "-shared", "-fPIC", "-o", library, _SOURCE, "-ldl"]
            subprocess.run(command, check=True, timeout=60)
        self._wrong_by = directory / name
        self.set(hours)
        self.environment = {"LD_PRELOAD": str(library), "WRONG_CLOCK": str(self._wrong_by)}

    def set(self, hours: int) -> None:
        """Let it be wrong by so much from now on."""
        with self._wrong_by.open("r+b" if self._wrong_by.exists() else "wb") as file:
            file.write((hours * 3600).to_bytes(8, "little", signed=True))

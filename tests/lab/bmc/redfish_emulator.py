"""sushy-tools' Redfish emulator with its fake driver: a BMC whose machine is a number in memory.

It has no sessions and no one-time boot device, and takes 1 to 11 s for each change of power.
"""

import socket
import subprocess
import sys
import time
import uuid
from contextlib import closing
from pathlib import Path

from tests.lab.bmc.certificate import write_certificate
from tests.lab.bmc.profile import Profile
from tests.lab.segment import end_with_parent

_START = 30.0  # seconds it may take to answer
# Of the password of a Profile, by bcrypt; nothing here makes such hashes.
_PASSWORD_HASH = "$2b$04$s7fYg8o8AJvuSSesPMUC0OB74JKFln9UHMLmeBdTELjN8mRokSps."


class RedfishEmulator:
    """One BMC at `address`, with its files in `directory`; a context manager."""

    def __init__(self, address: str, directory: Path, *, port: int = 8443) -> None:
        self.address = address
        self.port = port
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "RedfishEmulator":
        self._directory.mkdir(parents=True, exist_ok=True)
        with (self._directory / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [Path(sys.executable).with_name("sushy-emulator"), "--config", self._configure()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=end_with_parent,  # nothing is imported or locked there
            )
        try:
            self._wait_until_it_listens()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_exception: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _configure(self) -> Path:
        certificate, key = write_certificate(self._directory, self.address)
        users = self._directory / "users"
        users.write_text(f"{Profile().username}:{_PASSWORD_HASH}\n")
        system = {
            "uuid": str(uuid.uuid5(uuid.NAMESPACE_DNS, self.address)),
            "name": "machine",
            "power_state": "Off",
            "external_notifier": False,
            "nics": [{"mac": _mac(self.address)}],
        }
        values = {
            "FAKE_DRIVER": True,
            "LISTEN_IP": self.address,
            "LISTEN_PORT": self.port,
            "SSL_CERT": str(certificate),
            "SSL_KEY": str(key),
            "AUTH_FILE": str(users),
            "STATE_DIR": str(self._directory),
            "FAKE_SYSTEMS": [system],
        }
        config = self._directory / "emulator.conf"
        lines = (f"SUSHY_EMULATOR_{name} = {value!r}\n" for name, value in values.items())
        config.write_text("".join(lines))
        return config

    def _wait_until_it_listens(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + _START
        while time.monotonic() < deadline and self._process.poll() is None:
            with closing(socket.socket()) as asking:
                if asking.connect_ex((self.address, self.port)) == 0:
                    return
            time.sleep(0.05)
        log = (self._directory / "log").read_text()
        raise RuntimeError(f"sushy-emulator does not listen at {self.address}: {log}")


def _mac(address: str) -> str:
    """Of the machine's card, one for each address."""
    return "52:54:00:" + ":".join(f"{int(part):02x}" for part in address.split(".")[1:])

"""OpenIPMI's ipmi_sim as a BMC: a process, a configuration, and our plugin for boot flags."""

import hashlib
import os
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import closing
from pathlib import Path

from tests.lab.bmc.fru import fru
from tests.lab.bmc.profile import Profile
from tests.lab.segment import end_with_parent

_SOURCE = Path(__file__).with_name("bootflags.c")
_BUILD = Path(__file__).parents[3] / "build" / "bmc"
_LAN_CONFIG = Path(__file__).with_name("lan-config")
_START = 20.0  # seconds it may take to answer
IN_BAND_PORT = 9623  # where a virtual machine finds its own BMC

_LAN = """\
name "bmc"
set_working_mc 0x20
startlan 1
  addr {address} {port}
  priv_limit admin
  allowed_auths_admin md5
  guid {guid}
  lan_config_program "{lan_config} {address} {mac}"
endlan
{in_band}user 2 true "{username}" "{password}" admin 10 md5
loadlib "{plugin}" "{address} {state} {hook}"
"""
_MACHINE = """\
mc_setbmc 0x20
mc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x002a7c 0x0f02 persist_sdr
sel_enable 0x20 1000 0x0a
mc_add_fru_data 0x20 0 256 file 0 "{fru}"
sensor_add 0x20 0 1 0x01 0x01
sensor_set_value 0x20 0 1 42 0
mc_enable 0x20
"""
# Without records about its FRU and sensor, `ipmitool fru` and `sdr list` fail.
_RECORDS = """\
sdr type 18;device_slave_address 0x20;device_channel_number 0;fru_inventory true;entity_id system_board;entity_instance 1;id_string "BMC";endsdr
sdr type 1;sensor_owner_id 0x20;sensor_owner_lun 0;channel_number 0;sensor_number 1;entity_id system_board;entity_instance 1;sensor_type Temperature;init_scanning true;default_sensor_scan_on true;event_reading_type_code 1;analog_data_format unsigned;base_unit degrees_C;m 1;id_string "System Temp";endsdr
"""


class IpmiSim:
    """One BMC at `address`, with its files in `directory`; a context manager.

    `state` is what the hook gets (README.md); `events` says what happened to the machine's power. With
    `in_band` the machine itself reaches it too, as QEMU's `ipmi-bmc-extern` does.
    """

    def __init__(
        self,
        address: str,
        directory: Path,
        *,
        port: int = 623,
        hook: Path | None = None,
        profile: Profile | None = None,
        in_band: bool = False,
    ) -> None:
        self.address = address
        self.mac = mac_of(address)
        self.port = port
        self.state = directory / address
        self._directory = directory
        self._hook = hook
        self._in_band = f"serial 15 {address} {IN_BAND_PORT} codec VM\n" if in_band else ""
        self._profile = profile or Profile()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "IpmiSim":
        # What its users changed over the wire would override the configuration: a fresh directory.
        self._directory.mkdir(parents=True, exist_ok=True)
        place = Path(tempfile.mkdtemp(prefix="ipmi_sim-", dir=self._directory))
        self._configure(place)
        with (place / "log").open("wb") as log:
            self._process = subprocess.Popen(
                ["ipmi_sim", "-n", "-c", "lan.conf", "-f", "machine.emu", "-s", "state"],
                cwd=place,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=end_with_parent,  # nothing is imported or locked there
            )
        try:
            self._wait_until_it_answers(place / "log")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_exception: object) -> None:
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    @property
    def events(self) -> list[str]:
        """`EVENT DEVICE PERSISTENT EFI` for each."""
        path = Path(f"{self.state}.events")
        return path.read_text().splitlines() if path.exists() else []

    def freeze(self) -> None:
        """Say nothing more, and keep the socket."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def _configure(self, place: Path) -> None:
        number = hashlib.md5(self.address.encode(), usedforsecurity=False).hexdigest()
        (place / "fru.bin").write_bytes(
            fru(
                vendor="Firstbox",
                product="ipmi_sim",
                serial=self._profile.serial or f"S-{self.address}",
            )
        )
        (place / "machine.emu").write_text(_MACHINE.format(fru=place / "fru.bin"))
        (place / "lan.conf").write_text(
            _LAN.format(
                address=self.address,
                port=self.port,
                guid=number,
                lan_config=_LAN_CONFIG,
                mac=self.mac,
                in_band=self._in_band,
                username=self._profile.username,
                password=self._profile.password,
                plugin=build_plugin(),
                state=self.state.absolute(),
                hook=self._hook.absolute() if self._hook else "-",
            )
        )
        (place / "records").write_text(_RECORDS.replace(";", "\n"))
        compiled = place / "state" / "ipmi_sim" / "bmc" / "sdr.20.main"
        compiled.parent.mkdir(parents=True)
        subprocess.run(["sdrcomp", "-o", compiled, "records"], cwd=place, check=True)

    def _wait_until_it_answers(self, log: Path) -> None:
        assert self._process is not None
        ping = bytes.fromhex("0600ff06000011be80000000")
        with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as asking:
            asking.settimeout(0.1)
            asking.connect((self.address, self.port))
            deadline = time.monotonic() + _START
            while time.monotonic() < deadline and self._process.poll() is None:
                try:
                    asking.send(ping)
                    asking.recv(100)
                    return
                except OSError:  # not yet
                    time.sleep(0.02)
        raise RuntimeError(f"ipmi_sim does not answer at {self.address}: {log.read_text()}")


def mac_of(address: str) -> str:
    """The MAC of the BMC at an address."""
    return "02:ff:" + ":".join(f"{int(part):02x}" for part in address.split("."))


def build_plugin() -> Path:
    """The compiled plugin, made once for each version of its source."""
    version = hashlib.sha256(_SOURCE.read_bytes()).hexdigest()[:12]
    plugin = _BUILD / f"bootflags-{version}.so"
    if not plugin.exists():
        _BUILD.mkdir(parents=True, exist_ok=True)
        made = plugin.with_suffix(f".{os.getpid()}")
        command = ["gcc", "-shared", "-fPIC", "-O2", "-Wall", "-o", made, _SOURCE]
        subprocess.run(command, check=True)
        made.rename(plugin)
    return plugin

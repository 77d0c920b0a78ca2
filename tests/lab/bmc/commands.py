"""What a simulated BMC answers to IPMI commands: a completion code and data."""

from collections.abc import Callable

from tests.lab.bmc.fru import fru
from tests.lab.bmc.machine import Machine
from tests.lab.bmc.profile import Profile

Answer = tuple[int, bytes]
_UNKNOWN: Answer = (0xC1, b"")
_CIPHER_RECORDS = {
    0: bytes.fromhex("c0 00 00 40 80"),
    3: bytes.fromhex("c0 03 01 41 81"),
    17: bytes.fromhex("c0 11 03 44 81"),
}


class Commands:
    """One BMC's command table."""

    def __init__(self, profile: Profile, machine: Machine, guid: bytes) -> None:
        self._profile = profile
        self._machine = machine
        self._guid = guid
        self._table: dict[tuple[int, int], Callable[[bytes], Answer]] = {
            (0x00, 0x01): self._chassis_status,
            (0x00, 0x02): lambda data: (machine.order(data[0] & 0x0F), b""),
            (0x00, 0x04): lambda _data: (0, b""),  # identify
            (0x00, 0x08): self._set_boot_option,
            (0x00, 0x09): self._get_boot_option,
            (0x06, 0x01): self._device_id,
            (0x06, 0x37): lambda _data: (0, guid),
            (0x06, 0x3B): self._set_privilege,
            (0x0A, 0x10): self._fru_size,
            (0x0A, 0x11): self._read_fru,
            (0x0C, 0x02): self._lan_parameter,
        }

    def in_session(self, function: int, command: int, data: bytes) -> Answer:
        handler = self._table.get((function, command))
        if handler is None:
            return self.without_session(function, command, data)
        try:
            return handler(data)
        except IndexError:
            return 0xC7, b""  # request too short

    def without_session(self, function: int, command: int, data: bytes) -> Answer:
        if (function, command) == (6, 0x38):
            return 0, bytes.fromhex("01 84 04 02 000000 00")
        if (function, command) == (6, 0x37):
            return 0, self._guid
        if (function, command) == (6, 0x54):
            records = b"".join(_CIPHER_RECORDS[suite] for suite in self._profile.suites)
            start = (data[2] & 0x3F) * 16
            return 0, b"\x01" + records[start : start + 16]
        return _UNKNOWN

    def _chassis_status(self, _data: bytes) -> Answer:
        is_on = self._machine.is_on
        if self._profile.says_power:
            is_on = self._profile.says_power == "on"
        return 0, bytes([0x60 | is_on, 0, 0])

    def _set_privilege(self, data: bytes) -> Answer:
        if data[0] & 0x0F == 4 and not self._profile.is_privileged:
            return 0x81, b""
        return 0, bytes([data[0] & 0x0F or 4])

    def _set_boot_option(self, data: bytes) -> Answer:
        option = data[0] & 0x7F
        if option == 5:
            if len(data) < 6:
                return 0xC7, b""
            self._machine.set_flags(data[1:6])
        elif option == 3:
            if not self._profile.knows_flags_clearing:
                return 0x80, b""
            self._machine.keep_flags(data[1])
        elif option not in (0, 4):
            return 0x80, b""
        return 0, b""

    def _get_boot_option(self, data: bytes) -> Answer:
        option = data[0] & 0x7F
        if self._profile.readback == "refused" or option not in (0, 5):
            return 0x80, b""
        if self._profile.readback == "garbage":
            return 0, b"\x01\x00\xff"
        values = self._machine.flags.data if option == 5 else b"\0"
        return 0, bytes([1, option]) + values

    def _device_id(self, _data: bytes) -> Answer:
        maker = self._profile.enterprise.to_bytes(3, "little")
        return 0, bytes.fromhex("20 01 02 06 02 9f") + maker + bytes.fromhex("020f 00000000")

    @property
    def _fru(self) -> bytes:
        profile = self._profile
        return fru(
            vendor=profile.vendor,
            product=profile.product,
            serial=profile.serial or f"S-{self._machine.address}",
            board_extras=profile.board_extras,
            fault=profile.fru_fault,
        )

    def _fru_size(self, _data: bytes) -> Answer:
        if self._profile.fru_fault == "refused":
            return 0xCB, b""
        return 0, len(self._fru).to_bytes(2, "little") + b"\0"

    def _read_fru(self, data: bytes) -> Answer:
        start, count = data[1] | data[2] << 8, data[3]
        fault = self._profile.fru_fault
        if count > self._profile.fru_chunk:
            return self._profile.fru_refusal, b""
        if fault == "cut":
            count = max(min(count, 24 - start), 0)
        if fault == "endless":
            count = min(count, 1)
        piece = self._fru[start : start + count]
        return 0, bytes([len(piece)]) + (piece[: len(piece) // 2] if fault == "short" else piece)

    def _lan_parameter(self, data: bytes) -> Answer:
        mac = self._profile.mac.replace(":", "")
        values = {
            0: b"\0",
            1: b"\x04",
            3: bytes(int(part) for part in self._machine.address.split(".")),
            4: b"\x01",
            5: bytes.fromhex(mac) if mac else b"\x02\x00\x00" + self._guid[:3],
            6: b"\xff\xff\xff\x00",
            12: bytes(4),
        }
        return (0, b"\x11" + values[data[1]]) if data[1] in values else (0x80, b"")

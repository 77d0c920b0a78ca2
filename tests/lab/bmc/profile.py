"""What a simulated BMC is like. The default follows the specification; each field is an odd kind."""

from dataclasses import dataclass
from typing import Literal

Readback = Literal["true", "refused", "garbage"]
FruFault = Literal["", "refused", "checksums", "header", "huge", "cut", "endless", "short"]
AnswerFault = Literal["", "oversized", "truncated", "checksums"]
WebFault = Literal["", "huge", "packed", "deep", "types", "endless", "crooked"]


@dataclass
class Profile:
    """May be changed while the BMC runs."""

    username: str = "ADMIN"
    password: str = "ADMIN-secret"
    suites: tuple[int, ...] = (3, 17)  # of 0, 3 and 17
    max_sessions: int = 63
    session_timeout: float = 30.0  # seconds an idle session lives
    is_privileged: bool = True  # False: the user may not be administrator
    delay: float = 0.0  # seconds each answer takes
    loss: float = 0.0  # part of the packets that get lost, each way
    is_dead: bool = False  # nothing is ever answered
    freezes_after: int | None = None  # commands in sessions, then silence
    freezes_at_login: bool = False  # present, and silent from the first word of a login on
    busy: int = 0  # so many commands in sessions are answered with C0h
    link_down: float = 0.0  # seconds without a network after the machine starts
    says_power: Literal["", "on", "off"] = ""  # whatever is true
    on_seconds: float = 0.0  # from order to power state
    obeys_power: bool = True  # False: acknowledges orders and does nothing
    soft_off_seconds: float = 0.0  # an OS takes that long to shut down; below 0 it never does
    cycle_when_off: bool = False  # True: switches on, instead of refusing with D5h
    off_when_off: bool = True  # False: refuses with D5h, as some Dell do
    boot_flags_seconds: float = 60.0  # until boot flags are forgotten, unless told otherwise
    knows_flags_clearing: bool = True  # False: refuses boot option 3 with 80h
    keeps_boot_device: bool = True
    keeps_efi: bool = True
    keeps_once: bool = True  # False: every boot device is for always
    readback: Readback = "true"
    fru_chunk: int = 255  # bytes of FRU data in one answer; longer requests are refused
    fru_refusal: int = 0xCA  # the code they get; C7h, C8h and C9h are as common
    vendor: str = "Firstbox"
    product: str = "Simulated"
    serial: str = ""  # "" is "S-" and the address; the board's has a B before it
    mac: str = ""  # of the BMC; "" is one made of the address
    enterprise: int = 10876  # IANA's number of who made the BMC
    board_extras: tuple[bytes, ...] = ()  # the maker's own fields in the FRU data
    fru_fault: FruFault = ""  # fru.py
    answer_fault: AnswerFault = ""  # what is wrong with answers to commands in sessions
    web_fault: WebFault = ""  # what is wrong with resources below the system (redfish_bmc.py)
    web_fault_from_root: bool = False  # with all of them, rather
    lockout_after: int = 0  # logins begun and not ended in a row, then none is accepted for a while
    lockout_seconds: float = 60.0

"""What is done to a machine through its BMC, each in one session; data, so that processes can pass it on.

After every order the power state is read back until it is true or the deadline passes. Who has to
wait long logs out and comes back: the answer then names what is left to do (`Said.then`).
"""

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from api.bmc.client import About, BootDevice, Client, Device, PowerOrder
from api.bmc.identify import describe, details_of
from api.bmc.target import BmcError, BmcTarget
from api.states import PowerState, Reason

AWAIT = "await_power"
_LOOKS = 2.0  # seconds the power state is watched before we log out and come back
_PAUSES = (0.05, 0.2, 0.5)  # between two looks, the last one from then on
_BUSY_PAUSES = (0.5, 1.0, 2.0)  # before a command is repeated to a BMC that is busy
# Reasons to look again, once the order is given: some BMCs share a network card with their machine,
# and its link goes down for a while when the machine starts.
PASSING = frozenset({Reason.BMC_SILENT, Reason.BMC_BUSY})


@dataclass(frozen=True, slots=True)
class Operation:
    """What to do, by name, and how."""

    name: str
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Said:
    """How it went so far: a sentence and the power state; `then` is what is left to do."""

    message: str
    power: PowerState
    then: Operation | None = None
    details: Mapping[str, Any] = field(default_factory=dict)  # what was read besides


def read_power() -> Operation:
    """Ask for the power state."""
    return Operation("read_power")


def identify() -> Operation:
    """Ask what machine it is; the answer's details are those of `api.bmc.identify.details_of`."""
    return Operation("identify")


def power_on(deadline: float) -> Operation:
    """On; a machine that is on stays as it is."""
    return Operation("power_on", {"deadline": deadline})


def power_off(deadline: float) -> Operation:
    """Off at once; a machine that is off stays as it is."""
    return Operation("power_off", {"deadline": deadline})


def soft_off(deadline: float, *, hard_after: float | None = None) -> Operation:
    """Ask the OS to shut down; with `hard_after`, off at once when it did not within `deadline`,
    and `hard_after` seconds for that."""
    return Operation("soft_off", {"deadline": deadline, "hard_after": hard_after})


def await_off(deadline: float, *, hard_after: float) -> Operation:
    """Wait until a machine is off that switches itself off; off at once when it did not within
    `deadline`, and `hard_after` seconds for that."""
    return Operation("await_off", {"deadline": deadline, "hard_after": hard_after})


def reboot(deadline: float) -> Operation:
    """Power cycle; a machine that is off is switched on."""
    return Operation("reboot", {"deadline": deadline})


def boot_from_network(deadline: float) -> Operation:
    """Boot once from the network, in the target's boot mode."""
    return Operation("boot", {"deadline": deadline, "device": "pxe", "once": True})


def boot_from_disk(deadline: float) -> Operation:
    """Boot from disk, now and from now on."""
    return Operation("boot", {"deadline": deadline, "device": "disk", "once": False})


def perform(conversation: "Conversation", target: BmcTarget, operation: Operation) -> Said:
    """Do it, or as much of it as one session is for. Raises BmcError."""
    return _OPERATIONS[operation.name](conversation, target, **operation.parameters)


def give_up(operation: Operation) -> float | None:
    """The moment (of the monotonic clock) until which an operation is tried again, if it is."""
    return operation.parameters.get("until")


class Conversation:
    """A client that repeats a command to a BMC that is busy, after a pause."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.power = PowerState.UNKNOWN  # as it was read last
        self.has_ordered = False

    def power_state(self) -> PowerState:
        self.power = _repeat(self._client.power_state)
        return self.power

    def boot_device(self) -> BootDevice | None:
        return _repeat(self._client.boot_device)

    def about(self) -> About:
        return _repeat(self._client.about)

    def order(self, order: PowerOrder) -> None:
        self.has_ordered = True
        try:
            _repeat(lambda: self._client.set_power(order))
        except BmcError as error:
            # The answer may be lost, and the order taken (see PASSING): the read-back tells. After
            # a cycle it could not, for the machine was on before.
            if error.reason != Reason.BMC_SILENT or order == "cycle":
                raise

    def set_boot_device(self, device: Device, *, once: bool, boot_mode: str) -> str:
        """Set and read back; a half sentence about what the BMC made of it. Raises BmcError."""
        uefi = {"uefi": True, "bios": False}.get(boot_mode)
        kept: BootDevice | None = None
        for _ in range(2):
            _repeat(lambda: self._client.set_boot_device(device, once=once, uefi=uefi))
            kept = self.boot_device()
            if kept is None:
                # Many BMCs that obey cannot tell, or tell nonsense. Whether they obeyed shows when the
                # machine boots; to refuse them would lock out machines that work.
                return "boot device set, which its BMC cannot confirm"
            if kept.device == device:
                # Firmware often boots in its own mode whatever the mark says, and so do those whose
                # BMC drops it; the same for one-time. Said in the log, and held against nobody.
                dropped = ["UEFI"] * bool(uefi and not kept.uefi)
                dropped += ["one-time"] * (once and not kept.once)
                return f"its BMC dropped {' and '.join(dropped)}" if dropped else ""
        said = kept.device if kept else ""
        message = f"does not keep the boot device: asked for {device}, it says {said}"
        raise BmcError(Reason.BOOT_DEVICE_IGNORED, message)


T = TypeVar("T")


def _repeat(command: Callable[[], T]) -> T:
    for pause in _BUSY_PAUSES:
        try:
            return command()
        except BmcError as error:
            if error.reason != Reason.BMC_BUSY:
                raise
            time.sleep(pause * random.uniform(0.75, 1.25))  # noqa: S311  # spreads load, no secret
    return command()


def _read_power(client: Conversation, _target: BmcTarget) -> Said:
    state = client.power_state()
    return Said(f"is {state}", state)


def _identify(client: Conversation, _target: BmcTarget) -> Said:
    try:
        state = client.power_state()
    except BmcError as error:
        if error.reason != Reason.BMC_REFUSED:
            raise
        state = PowerState.UNKNOWN  # what machine it is may be told all the same
    about, device = client.about(), client.boot_device()
    return Said(describe(about, state, device), state, details=details_of(about, device))


def _power_on(client: Conversation, _target: BmcTarget, deadline: float) -> Said:
    if client.power_state() == PowerState.ON:
        return Said("is on already", PowerState.ON)
    client.order("on")
    return _watch(client, PowerState.ON, deadline, "is on")


def _power_off(client: Conversation, _target: BmcTarget, deadline: float) -> Said:
    if client.power_state() == PowerState.OFF:
        return Said("is off already", PowerState.OFF)
    client.order("off")
    return _watch(client, PowerState.OFF, deadline, "is off")


def _soft_off(
    client: Conversation, _target: BmcTarget, deadline: float, hard_after: float | None
) -> Said:
    if client.power_state() == PowerState.OFF:
        return Said("is off already", PowerState.OFF)
    client.order("soft_off")
    return _watch(client, PowerState.OFF, deadline, "is off, shut down by its OS", hard_after)


def _await_off(
    client: Conversation, _target: BmcTarget, deadline: float, hard_after: float
) -> Said:
    return _watch(client, PowerState.OFF, deadline, "is off", hard_after)


def _reboot(client: Conversation, _target: BmcTarget, deadline: float) -> Said:
    done = _start_anew(client)
    return _watch(client, PowerState.ON, deadline, f"is on, {done}")


def _boot(
    client: Conversation, target: BmcTarget, deadline: float, device: Device, once: bool
) -> Said:
    note = client.set_boot_device(device, once=once, boot_mode=target.boot_mode)
    done = _start_anew(client)
    how = {"uefi": " (UEFI)", "bios": " (BIOS)"}.get(target.boot_mode, "")
    what = f"boots once from the network{how}" if device == "pxe" else "boots from disk"
    sentence = f"is on, {done}, {what}" + (f"; {note}" if note else "")
    return _watch(client, PowerState.ON, deadline, sentence)


def _start_anew(client: Conversation) -> str:
    """On or cycle, as the state demands: most BMCs refuse to cycle a machine that is off."""
    if client.power_state() == PowerState.OFF:
        client.order("on")
        return "switched on"
    try:
        client.order("cycle")
    except BmcError as error:
        if error.reason != Reason.BMC_REFUSED or client.power_state() == PowerState.ON:
            raise
        client.order("on")  # it went off between our question and our order
        return "switched on"
    return "power cycled"


def _await_power(
    client: Conversation,
    _target: BmcTarget,
    state: str,
    until: float,
    deadline: float,
    sentence: str,
    hard_after: float | None,
) -> Said:
    return _look(client, PowerState(state), until, deadline, sentence, hard_after)


def _watch(
    client: Conversation,
    state: PowerState,
    deadline: float,
    sentence: str,
    hard_after: float | None = None,
) -> Said:
    until = time.monotonic() + deadline
    return _look(client, state, until, deadline, sentence, hard_after)


def _look(
    client: Conversation,
    state: PowerState,
    until: float,
    deadline: float,
    sentence: str,
    hard_after: float | None,
) -> Said:
    """Is it so? Within a few looks, else `then` says to come back."""
    seen = PowerState.UNKNOWN
    leave = min(time.monotonic() + _LOOKS, until)
    for number in range(1000):
        try:
            seen = client.power_state()
        except BmcError as error:
            if error.reason not in PASSING:
                raise
            break
        if seen == state:
            return Said(sentence, seen)
        if time.monotonic() >= leave:
            break
        time.sleep(_PAUSES[min(number, len(_PAUSES) - 1)])
    if time.monotonic() < until:
        again = {"state": state, "until": until, "deadline": deadline, "sentence": sentence}
        return Said("", seen, Operation(AWAIT, {**again, "hard_after": hard_after}))
    if hard_after is not None:
        return Said("", seen, power_off(hard_after))
    raise BmcError(Reason.POWER_UNCHANGED, f"is not {state} {deadline:g} s after its BMC agreed")


_OPERATIONS: dict[str, Callable[..., Said]] = {
    "read_power": _read_power,
    "identify": _identify,
    "power_on": _power_on,
    "power_off": _power_off,
    "soft_off": _soft_off,
    "await_off": _await_off,
    "reboot": _reboot,
    "boot": _boot,
    AWAIT: _await_power,
}

"""Many BMCs at once, each with its quirk: what comes of each, and that none disturbs another."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from api.bmc import operations
from api.bmc.fleet import ask_bmcs
from api.bmc.operations import Operation
from api.bmc.target import BmcResult, BmcTarget
from api.states import PowerState, Reason
from tests.lab.bmc import Event, IpmiSim, Profile, Simulator, addresses
from tests.service import children, command_line, wait_until

ON, OFF = PowerState.ON, PowerState.OFF
REPOSITORY = Path(__file__).parents[2]
POWER_DEADLINE = 6.0
DEADLINE = 12.0
SILENCE = 2.0
PXE = "boots once from the network (UEFI)"


def target(address: str, node: str = "n-one", *, interval: float = 0.0) -> BmcTarget:
    profile = Profile()
    return BmcTarget(
        node, address, 623, "ipmi", profile.username, profile.password, "uefi", interval=interval
    )


def ask(
    targets: list[BmcTarget],
    operation: Operation,
    *,
    deadline: float = DEADLINE,
    silence: float = SILENCE,
    processes: int = 8,
) -> list[BmcResult]:
    return ask_bmcs(targets, operation, deadline=deadline, silence=silence, processes=processes)


class Case(NamedTuple):
    """A BMC, whether its machine is on, and what is to come of a network boot."""

    profile: Profile
    is_on: bool
    reason: Reason | None  # None: it boots
    message: str
    event: Event | None = None  # the machine's power, and what it boots from


CYCLED = Event("cycle", "on", "pxe", False, True)
STARTED = Event("on", "on", "pxe", False, True)
CASES = {
    "good and on": Case(Profile(), True, None, f"is on, power cycled, {PXE}", CYCLED),
    "good and off": Case(Profile(), False, None, f"is on, switched on, {PXE}", STARTED),
    "cipher suite 17 only": Case(Profile(suites=(17,)), True, None, PXE, CYCLED),
    "cipher suite 3 only": Case(Profile(suites=(3,)), True, None, PXE, CYCLED),
    "no cipher suite": Case(
        Profile(suites=(0,)), True, Reason.BMC_NO_CIPHER, "neither cipher suite 3 nor 17"
    ),
    "wrong password": Case(
        Profile(password="other"), True, Reason.BMC_LOGIN_REFUSED, "Incorrect password"
    ),
    "wrong user": Case(
        Profile(username="root"), True, Reason.BMC_LOGIN_REFUSED, "Unauthorized name"
    ),
    "no administrator": Case(
        Profile(is_privileged=False), True, Reason.BMC_LOGIN_REFUSED, "privilege level"
    ),
    "no free session": Case(Profile(max_sessions=0), True, Reason.BMC_BUSY, "has no free session"),
    "no free session, cipher suite 17 only": Case(
        Profile(max_sessions=0, suites=(17,)), True, Reason.BMC_BUSY, "has no free session"
    ),
    "one session": Case(Profile(max_sessions=1), True, None, PXE, CYCLED),
    "silent": Case(Profile(is_dead=True), True, Reason.BMC_SILENT, "does not answer at"),
    "silent at login": Case(
        Profile(freezes_at_login=True), True, Reason.BMC_SILENT, "does not answer the login"
    ),
    "frozen in mid-session": Case(
        Profile(freezes_after=3), True, Reason.BMC_SILENT, "no complete answer within 12 s"
    ),
    "slow": Case(Profile(delay=0.7), True, None, PXE, CYCLED),
    "loses packets": Case(Profile(loss=0.03), True, None, PXE, CYCLED),
    "busy for a moment": Case(Profile(busy=2), True, None, PXE, CYCLED),
    "busy for ever": Case(Profile(busy=10**6), True, Reason.BMC_BUSY, "is busy (C0h)"),
    "network down while the machine starts": Case(
        Profile(link_down=2.5), False, None, PXE, STARTED
    ),
    "machine slow to start": Case(Profile(on_seconds=3.0), False, None, PXE, STARTED),
    "power acknowledged and not done": Case(
        Profile(obeys_power=False), False, Reason.POWER_UNCHANGED, "is not on 6 s after"
    ),
    "lies that it is off": Case(
        Profile(says_power="off"), False, Reason.POWER_UNCHANGED, "is not on 6 s after", STARTED
    ),
    "does not know how long boot flags last": Case(
        Profile(knows_flags_clearing=False), True, None, PXE, CYCLED
    ),
    "ignores the boot device": Case(
        Profile(keeps_boot_device=False), True, Reason.BOOT_DEVICE_IGNORED, "asked for pxe"
    ),
    "drops the EFI mark": Case(
        Profile(keeps_efi=False),
        True,
        None,
        "its BMC dropped UEFI",
        Event("cycle", "on", "pxe", False, False),
    ),
    "every boot device is for always": Case(
        Profile(keeps_once=False),
        True,
        None,
        "its BMC dropped one-time",
        Event("cycle", "on", "pxe", True, True),
    ),
    "refuses to tell its boot device": Case(
        Profile(readback="refused"), True, None, "its BMC cannot confirm", CYCLED
    ),
    "tells nonsense about its boot device": Case(
        Profile(readback="garbage"), True, None, "its BMC cannot confirm", CYCLED
    ),
    "switches on when cycled while off": Case(
        Profile(cycle_when_off=True), False, None, PXE, STARTED
    ),
}
ADDRESSES = dict(zip(CASES, addresses("127.0.87.1", len(CASES)), strict=True))


class Booted(NamedTuple):
    """What came of all cases, each by its name, and after how many seconds."""

    results: dict[str, BmcResult]
    seconds: dict[str, float]
    bmcs: Simulator


@pytest.fixture(scope="module")
def booted() -> Iterator[Booted]:
    profiles = {ADDRESSES[name]: case.profile for name, case in CASES.items()}
    on = [ADDRESSES[name] for name, case in CASES.items() if case.is_on]
    with Simulator(list(profiles), profiles=profiles, on=on) as bmcs:
        seconds: dict[str, float] = {}
        began = time.monotonic()
        results = ask_bmcs(
            [target(address, name) for name, address in ADDRESSES.items()],
            operations.boot_from_network(POWER_DEADLINE),
            deadline=DEADLINE,
            silence=SILENCE,
            processes=8,
            heard=lambda result: seconds.update({result.node: time.monotonic() - began}),
        )
        yield Booted({result.node: result for result in results}, seconds, bmcs)


@pytest.mark.parametrize("name", CASES)
def test_network_boot(booted: Booted, name: str) -> None:
    case, result = CASES[name], booted.results[name]

    assert (result.ok, result.reason) == (case.reason is None, case.reason or "")
    assert case.message in result.message
    assert booted.bmcs[ADDRESSES[name]].machine.events == [case.event] * bool(case.event)


@pytest.mark.parametrize("name", CASES.keys() - {"frozen in mid-session", "wrong password"})
def test_no_session_is_left(booted: Booted, name: str) -> None:
    # But where the BMC froze with it, or waits for a console that gave up: those end by themselves.
    if name != "loses packets":  # it may have lost the good-bye
        assert booted.bmcs[ADDRESSES[name]].sessions == 0


def test_silent_and_frozen_bmcs_delay_nobody(booted: Booted) -> None:
    assert booted.seconds["good and on"] < SILENCE
    assert booted.seconds["good and off"] < SILENCE
    assert booted.seconds["silent"] < SILENCE + 1
    assert booted.seconds["silent at login"] < 10
    assert max(booted.seconds.values()) < 2 * DEADLINE


def test_processes_end_with_the_call(booted: Booted) -> None:
    assert booted.results
    assert [pid for pid in children(os.getpid()) if "api.bmc" in command_line(pid)] == []


def test_silence_of_many_costs_once() -> None:
    dead = addresses("127.0.88.1", 200)
    profiles = {address: Profile(is_dead=True) for address in dead}
    with Simulator([*dead, "127.0.88.250"], profiles=profiles):
        began = time.monotonic()
        results = ask(
            [target(address, address) for address in [*dead, "127.0.88.250"]],
            operations.read_power(),
        )

    assert [result.ok for result in results] == [False] * 200 + [True]
    assert time.monotonic() - began < SILENCE + 2


@pytest.mark.parametrize("first", ["good", "wrong password", "silent at login"])
def test_same_bmc_is_opened_again_by_the_same_process(first: str) -> None:
    profile = Profile()
    with Simulator(["127.0.88.1"], profiles={"127.0.88.1": profile}) as bmcs:
        if first == "wrong password":
            profile.password = "other"
        profile.freezes_at_login = first == "silent at login"
        seen: list[BmcResult] = []

        def heard(result: BmcResult) -> None:
            seen.append(result)
            profile.password, profile.freezes_at_login = Profile().password, False

        ask_bmcs(
            [target("127.0.88.1", f"n-{number}") for number in range(4)],
            operations.read_power(),
            deadline=DEADLINE,
            silence=SILENCE,
            processes=1,
            heard=heard,
        )

        assert [result.ok for result in seen] == [first == "good", True, True, True]
        assert bmcs["127.0.88.1"].sessions <= (first == "wrong password")


def test_bmc_without_a_free_session_is_asked_again() -> None:
    profile = Profile(max_sessions=0)
    relief = threading.Timer(2, lambda: setattr(profile, "max_sessions", 1))
    with Simulator(["127.0.88.1"], profiles={"127.0.88.1": profile}):
        relief.start()
        (result,) = ask([target("127.0.88.1")], operations.read_power())
        relief.join()

    assert result.ok, result.message


def test_bmc_that_takes_two_seconds_for_each_answer_is_heard() -> None:
    slow = {"127.0.88.1": Profile(delay=2.0)}
    with Simulator(list(slow), profiles=slow):
        (result,) = ask([target("127.0.88.1")], operations.read_power(), deadline=60, silence=6)

    assert (result.ok, result.message) == (True, "is off")


def test_no_answer_is_overlooked_until_a_timer_ends() -> None:
    # BMCs on loopback answer faster than pyghmi begins to listen, if it is left to itself.
    quick = addresses("127.0.88.1", 40)
    with Simulator(quick):
        began = time.monotonic()
        results = ask(
            [target(address, address) for address in quick], operations.read_power(), processes=1
        )

    assert all(result.ok for result in results)
    assert time.monotonic() - began < 8


def test_boot_flags_outlast_the_minute_in_which_bmcs_forget_them() -> None:
    quick = {
        "127.0.88.1": Profile(boot_flags_seconds=0.15),
        "127.0.88.2": Profile(boot_flags_seconds=0.15, knows_flags_clearing=False),
    }
    with Simulator(list(quick), profiles=quick) as bmcs:
        told, untold = ask(
            [target(address, address, interval=0.2) for address in quick],
            operations.boot_from_network(POWER_DEADLINE),
        )

        assert told.ok, told.message
        assert bmcs["127.0.88.1"].machine.events == [STARTED]
    assert untold.reason == Reason.BOOT_DEVICE_IGNORED


def test_commands_to_a_bmc_keep_their_distance() -> None:
    with Simulator(["127.0.88.1"]) as bmcs:
        began = time.monotonic()
        ask([target("127.0.88.1", interval=0.3)], operations.boot_from_network(POWER_DEADLINE))
        commands = bmcs["127.0.88.1"].commands

    asked = sum(count for name, count in commands.items() if name.startswith("0/"))
    assert asked == 6  # flags' life, flags, read back, power state, on, read back
    assert time.monotonic() - began > (asked - 1) * 0.3


def test_soft_off_is_followed_by_hard_off_when_told() -> None:
    stubborn = Profile(soft_off_seconds=-1)
    with Simulator(["127.0.88.1"], profiles={"127.0.88.1": stubborn}, on=["127.0.88.1"]) as bmcs:
        (kept_on,) = ask([target("127.0.88.1")], operations.soft_off(1))
        (off,) = ask([target("127.0.88.1")], operations.soft_off(1, hard_after=3))

        assert (kept_on.reason, kept_on.power) == (Reason.POWER_UNCHANGED, ON)
        assert (off.ok, off.power, off.changed) == (True, OFF, True)
        assert [event.name for event in bmcs["127.0.88.1"].machine.events] == [
            "soft",
            "soft",
            "off",
        ]


def test_off_is_no_order_to_a_machine_that_is_off() -> None:
    strict = {"127.0.88.1": Profile(off_when_off=False)}
    with Simulator(["127.0.88.1"], profiles=strict):
        (result,) = ask([target("127.0.88.1")], operations.power_off(1))

    assert (result.ok, result.changed, result.message) == (True, False, "is off already")


def test_nothing_is_left_when_the_caller_is_killed() -> None:
    frozen = {"127.0.88.1": Profile(freezes_after=1)}
    code = (
        "from tests.integration.test_bmc import *\n"
        "ask([target('127.0.88.1')], operations.read_power(), deadline=60)"
    )
    with (
        Simulator(["127.0.88.1"], profiles=frozen) as bmcs,
        subprocess.Popen([sys.executable, "-c", code], cwd=REPOSITORY) as caller,
    ):
        try:
            wait_until(lambda: bmcs["127.0.88.1"].logins, 20, what="the BMC is asked")
            family = descendants(caller.pid)
        finally:
            caller.send_signal(signal.SIGKILL)
        assert len(family) == 2
        wait_until(lambda: not any(map(is_running, family)), 5, what="its processes ended")


def descendants(pid: int) -> list[int]:
    below = list(children(pid))
    return below + [further for child in below for further in descendants(child)]


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_password_stands_in_no_command_line_and_no_environment() -> None:
    with Simulator(["127.0.88.1"], profiles={"127.0.88.1": Profile(freezes_after=1)}) as bmcs:
        code = (
            "from tests.integration.test_bmc import *\n"
            "ask([target('127.0.88.1')], operations.read_power(), deadline=60)"
        )
        with subprocess.Popen([sys.executable, "-c", code], cwd=REPOSITORY) as caller:
            try:
                wait_until(lambda: bmcs["127.0.88.1"].logins, 20, what="the BMC is asked")
                shown = [
                    Path(f"/proc/{pid}/{file}").read_bytes()
                    for pid in descendants(caller.pid)
                    for file in ("cmdline", "environ")
                ]
            finally:
                caller.kill()

    assert shown
    assert not any(Profile().password.encode() in text for text in shown)


@pytest.fixture
def ipmi_sim(tmp_path: Path) -> Iterator[IpmiSim]:
    with IpmiSim("127.0.88.240", tmp_path) as bmc:
        yield bmc


def test_ipmi_sim_is_booted_from_the_network_and_then_from_disk(ipmi_sim: IpmiSim) -> None:
    one = target(ipmi_sim.address)

    network = ask([one], operations.boot_from_network(POWER_DEADLINE))
    disk = ask([one], operations.boot_from_disk(POWER_DEADLINE))
    off = ask([one], operations.power_off(POWER_DEADLINE))

    assert [result.message for result in network + disk + off] == [
        f"is on, switched on, {PXE}",
        "is on, power cycled, boots from disk",
        "is off",
    ]
    assert ipmi_sim.events == ["on pxe 0 1", "cycle disk 1 1", "off disk 1 1"]


def test_frozen_ipmi_sim_is_silent(ipmi_sim: IpmiSim) -> None:
    ipmi_sim.freeze()
    (silent,) = ask([target(ipmi_sim.address)], operations.read_power())
    ipmi_sim.thaw()
    (well,) = ask([target(ipmi_sim.address)], operations.read_power())

    assert (silent.reason, well.ok) == (Reason.BMC_SILENT, True)

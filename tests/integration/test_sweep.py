"""Who answers in ranges of addresses: all BMCs, each once, and nobody else."""

import os
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from api.bmc.found import Answering
from api.bmc.rmcp import CAPABILITIES, PING
from api.bmc.sweep import Registered, sweep, sweep_registered
from api.bmc.target import Kind
from tests.lab.bmc import IpmiSim, Profile, RedfishBmc, RedfishEmulator, Simulator
from tests.lab.bmc.certificate import write_certificate
from tests.lab.bmc.impostors import Impostors, nothing
from tests.lab.segment import Host, Segment

PORTS: dict[Kind, int] = {"ipmi": 623, "redfish": 8443}
NEEDS_ROOT = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0, reason="makes network namespaces"),
]
# What a BMC answers, as tests/unit/bmc/test_rmcp.py has it.
ANSWER = bytes.fromhex("0600ff07 00 00000000 00000000 10 811c63 2000380001840402 00000000 1d")
PONG = bytes.fromhex("0600ff06 000011be 40 00 00 10 000011be 00000000 81 00 000000000000")


class Log:
    """What a sweep told."""

    def __init__(self) -> None:
        self.progress: list[tuple[int, int, int]] = []
        self.notes: list[str] = []

    def told(self, asked: int, total: int, answering: int) -> None:
        self.progress.append((asked, total, answering))


def find(
    *ranges: tuple[str, str],
    kinds: Sequence[Kind] = ("ipmi",),
    silence: float = 0.5,
    log: Log | None = None,
) -> list[Answering]:
    log = log or Log()
    return sweep(ranges, kinds, PORTS, silence=silence, told=log.told, note=log.notes.append)


def addresses(found: Sequence[Answering]) -> list[str]:
    return [one.address for one in found]


@pytest.fixture(scope="module")
def rack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, set[str]]]:
    """BMCs on a network that loses one packet in ten each way; the addresses of each kind."""
    place = tmp_path_factory.mktemp("rack")
    simulated = {f"127.11.{number // 100}.{number % 100 * 2 + 1}" for number in range(300)}
    profiles = {address: Profile(loss=0.1) for address in simulated}
    with ExitStack() as stack:
        start = stack.enter_context
        start(Simulator(sorted(simulated), profiles=profiles))
        start(IpmiSim("127.11.1.250", place / "ipmi_sim"))
        start(RedfishBmc("127.11.2.250", place / "redfish"))
        start(RedfishBmc("127.11.2.1", place / "both"))
        start(RedfishEmulator("127.11.2.252", place / "emulator"))
        start(Impostors(IMPOSTORS))
        yield {
            "ipmi": simulated | {"127.11.1.250"} | TRUE_IMPOSTORS,
            "redfish": {"127.11.2.1", "127.11.2.250", "127.11.2.252"},
        }


def _after_a_while(packet: bytes, asked: list[int] = []) -> list[bytes]:  # noqa: B006  # remembers
    asked.append(packet == CAPABILITIES)
    return [ANSWER] if sum(asked) > 4 else [PONG]


IMPOSTORS = {
    "127.11.3.1": lambda packet: [packet],  # an echo
    "127.11.3.2": lambda _: [os.urandom(300)],
    "127.11.3.3": lambda _: [ANSWER[:20], PONG[:12], b""],
    "127.11.3.4": lambda _: [ANSWER + bytes(1500), PONG + bytes(60_000), bytes(65_000)],
    "127.11.3.5": lambda _: [b"HTTP/1.0 400 Bad Request\r\n\r\n"],
    "127.11.3.6": nothing,
    "127.11.3.7": lambda _: [ANSWER] * 50,  # a BMC, again and again
    "127.11.3.8": lambda packet: [PONG] if packet == PING else [],  # a BMC of few words
    "127.11.3.9": _after_a_while,
    "127.11.3.10": lambda packet: [packet[:8] + b"\x40" + packet[9:]],  # half a pong
}
TRUE_IMPOSTORS = {"127.11.3.7", "127.11.3.8", "127.11.3.9"}


def test_all_bmcs_are_found_once_and_nobody_else(rack: dict[str, set[str]]) -> None:
    log = Log()

    found = find(
        ("127.11.2.0", "127.11.3.255"),
        ("127.11.0.0", "127.11.2.255"),
        kinds=("redfish", "ipmi"),
        silence=0.3,
        log=log,
    )

    assert {one.address for one in found if "ipmi" in one.kinds} == rack["ipmi"]
    assert {one.address for one in found if "redfish" in one.kinds} == rack["redfish"]
    assert len(found) == len(set(addresses(found)))
    order = [socket.inet_aton(address) for address in addresses(found)]
    assert order == sorted(order)
    assert log.progress[-1] == (2048, 2048, len(found))
    assert log.notes == []


def test_it_says_what_answers(rack: dict[str, set[str]]) -> None:
    kinds: list[Kind] = ["redfish", "ipmi"]
    found = {one.address: one for one in find(("127.11.1.240", "127.11.3.9"), kinds=kinds)}

    assert found["127.11.1.250"].said == "IPMI 2.0"
    both = found["127.11.2.1"]
    assert list(both.kinds.items()) == [("redfish", 8443), ("ipmi", 623)]
    assert both.said.startswith("Redfish 1.")
    assert both.said.endswith(" and IPMI 2.0")
    assert found["127.11.2.252"].said.startswith("Redfish 1.")
    assert (found["127.11.3.8"].said, found["127.11.3.9"].said) == ("IPMI", "IPMI 2.0")


def test_an_address_outside_of_the_range_is_never_asked_nor_counted() -> None:
    with Impostors(dict.fromkeys(["127.11.9.1", "127.11.9.4"], lambda _: [ANSWER])) as outside:
        with Simulator(["127.11.9.2", "127.11.9.3"]):
            assert addresses(find(("127.11.9.2", "127.11.9.3"))) == ["127.11.9.2", "127.11.9.3"]
        assert outside.heard == {"127.11.9.1": 0, "127.11.9.4": 0}


@pytest.mark.parametrize("elsewhere", [("127.11.9.14", 623), ("127.11.9.12", 624)])
def test_an_answer_from_another_address_or_port_is_not_counted(elsewhere: tuple[str, int]) -> None:
    def answer_from_elsewhere(_packet: bytes) -> list[bytes]:
        other.sendto(ANSWER, service.caller)
        return []

    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other,
        Impostors({"127.11.9.12": answer_from_elsewhere}) as service,
        Simulator(["127.11.9.13"]),
    ):
        other.bind(elsewhere)
        assert addresses(find(("127.11.9.12", "127.11.9.13"), silence=0.2)) == ["127.11.9.13"]
        assert service.heard["127.11.9.12"] == 5


def test_who_refuses_is_asked_once_and_who_is_silent_three_times() -> None:
    with Impostors({"127.11.9.21": nothing}) as silent:
        began = time.monotonic()
        assert find(("127.11.9.21", "127.11.9.22"), silence=0.2) == []
        assert 0.6 <= time.monotonic() - began < 1.5
    # A presence ping goes along with the second and the third question.
    assert silent.heard == {"127.11.9.21": 5}

    began = time.monotonic()
    assert find(("127.11.9.0", "127.11.9.255"), silence=2) == []
    assert time.monotonic() - began < 1


def test_a_slow_bmc_is_found_and_its_slowness_known() -> None:
    with Simulator(["127.11.9.31"], profiles={"127.11.9.31": Profile(delay=0.7)}):
        [found] = find(("127.11.9.30", "127.11.9.31"))

    assert 0.7 <= found.seconds < 1.2


def test_64_live_among_200_silent_are_found_within_8_seconds() -> None:
    live = [f"127.11.10.{number * 4 + 1}" for number in range(64)]
    silent = [f"127.11.10.{last}" for last in range(256) if last % 4 != 1][:200]
    began = time.monotonic()
    with Simulator(live), Impostors(dict.fromkeys(silent, nothing)):
        found = find(("127.11.10.0", "127.11.10.255"), kinds=("redfish", "ipmi"), silence=1.0)

        assert set(addresses(found)) == set(live)
        assert time.monotonic() - began < 8


def test_registered_machines_are_looked_for_where_they_are_said_to_be(tmp_path: Path) -> None:
    machines = [
        Registered("n-redfish", "127.11.9.43", "redfish", 8443),
        Registered("n-other-port", "127.11.9.41", "ipmi", 6230),
        Registered("n-silent", "127.11.9.42", "ipmi", 623),
        Registered("n-ipmi", "127.11.9.41", "ipmi", 623),
    ]
    with (
        Simulator(["127.11.9.41"]),
        Simulator(["127.11.9.41"], port=6230),
        RedfishBmc("127.11.9.43", tmp_path),
    ):
        log = Log()
        found = sweep_registered(machines, silence=0.3, told=log.told, note=log.notes.append)

    assert [(one.node, one.address, dict(one.kinds)) for one in found] == [
        ("n-redfish", "127.11.9.43", {"redfish": 8443}),
        ("n-other-port", "127.11.9.41", {"ipmi": 6230}),
        ("n-ipmi", "127.11.9.41", {"ipmi": 623}),
    ]


ROOT = b'{"RedfishVersion": "1.9.0"}'
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
PAGES = {
    "127.11.12.1": HEAD + b"Content-Length: %d\r\n\r\n" % len(ROOT) + ROOT,
    "127.11.12.2": HEAD + b"Transfer-Encoding: chunked\r\n\r\n1b\r\n" + ROOT + b"\r\n0\r\n\r\n",
    "127.11.12.3": HEAD + b"\r\n<html>",
    "127.11.12.4": HEAD + b'\r\n{"RedfishVersion": "1.9.0", "x": "' + b"x" * 70_000 + b'"}',
    "127.11.12.5": b"HTTP/1.1 302 Found\r\nLocation: https://127.11.12.1:8443/redfish/v1/\r\n\r\n",
    "127.11.12.6": b"HTTP/1.1 401 Unauthorized\r\n\r\n" + ROOT,
    "127.11.12.7": b"\x00\xff" * 1000,
    "127.11.12.8": b"",
    "127.11.12.9": HEAD + b"X: " + b"x" * 200_000 + b"\r\n\r\n" + ROOT,
    "127.11.12.10": HEAD + b"\r\n" + b"[" * 60_000,
}


def test_only_a_service_root_is_redfish(tmp_path: Path) -> None:
    with (
        serving(PAGES, tmp_path),
        socket.create_server(("127.11.12.20", 8443)),  # connects, and never says a word
        socket.create_server(("127.11.12.21", 8443)) as plain,
    ):
        threading.Thread(target=_answer_plainly, args=(plain,), daemon=True).start()
        began = time.monotonic()

        found = find(("127.11.12.0", "127.11.12.255"), kinds=("redfish",))

        assert addresses(found) == ["127.11.12.1", "127.11.12.2"]
        assert time.monotonic() - began < 20


def _answer_plainly(door: socket.socket) -> None:
    connection, _ = door.accept()
    with connection:
        connection.sendall(HEAD + b"\r\n" + ROOT)


@contextmanager
def serving(pages: dict[str, bytes], directory: Path) -> Iterator[None]:
    """A TLS server per address that says the same to everybody."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*write_certificate(directory, "pages"))
    with ExitStack() as stack:
        for address, page in pages.items():
            door = stack.enter_context(socket.create_server((address, 8443)))
            stack.callback(door.shutdown, socket.SHUT_RDWR)  # ends its thread
            threading.Thread(target=_serve, args=(door, context, page), daemon=True).start()
        yield


def _serve(door: socket.socket, context: ssl.SSLContext, page: bytes) -> None:
    while True:
        try:
            connection, _ = door.accept()
        except OSError:  # the test is over
            return
        try:
            with context.wrap_socket(connection, server_side=True) as talking:
                talking.recv(4096)
                talking.sendall(page)
        except OSError:  # the client has had enough
            continue


class TestOnAnEthernet:
    """Where hardware addresses must be found first: on a segment of the test's own."""

    pytestmark = NEEDS_ROOT

    def test_200_of_200_bmcs_are_found_in_a_20(self) -> None:
        bmcs = [f"10.77.{number % 16}.{10 + number // 16 * 7}" for number in range(200)]
        log = Log()
        with Segment("10.77.0.1/20") as segment:
            host = with_addresses(segment, [f"{address}/20" for address in bmcs])
            with inside(host, Simulator(bmcs)), segment.inside():
                began = time.monotonic()
                found = find(("10.77.0.2", "10.77.15.254"), silence=1.0, log=log)
                seconds = time.monotonic() - began

        assert set(addresses(found)) == set(bmcs)
        assert seconds < 40  # asked without a pace, the kernel's tables overflow: over 50 s
        assert [note for note in log.notes if "gc_thresh3" in note]

    def test_ipv6_neighbours_are_found(self) -> None:
        bmcs = [f"fd00:77::{number:x}" for number in range(0x10, 0x200, 0x10)]
        with Segment("10.77.0.1/24") as segment:
            segment.ip(f"address add fd00:77::1/64 dev {segment.bridge} nodad")
            host = with_addresses(segment, [f"{address}/64" for address in bmcs])
            with inside(host, Simulator(bmcs)), segment.inside():
                found = find(("fd00:77::2", "fd00:77::1ff"), silence=1.0)

        assert addresses(found) == bmcs

    def test_both_kinds_and_where_nobody_is_are_told_apart(self, tmp_path: Path) -> None:
        with Segment("10.77.0.1/24") as segment:
            host = with_addresses(segment, ["10.77.0.7/24", "10.77.0.9/24"])
            bmcs = (Simulator(["10.77.0.7"]), RedfishBmc("10.77.0.9", tmp_path))
            with inside(host, *bmcs), segment.inside():
                began = time.monotonic()
                found = find(("10.77.0.2", "10.77.0.200"), kinds=("redfish", "ipmi"), silence=1.2)
                seconds = time.monotonic() - began

        assert [(one.address, list(one.kinds)) for one in found] == [
            ("10.77.0.7", ["ipmi"]),
            ("10.77.0.9", ["redfish"]),
        ]
        assert seconds < 7  # nobody connects to where nobody is: that would take 3.5 s more


def with_addresses(segment: Segment, networks: Sequence[str]) -> Host:
    """A host on the segment with all of these."""
    host = segment.add_host("52:54:00:00:00:01")
    lines = "\n".join(f"address add {network} dev eth0 nodad" for network in networks)
    subprocess.run(host.command("ip", "-batch", "-"), input=lines, text=True, check=True)
    return host


@contextmanager
def inside(host: Host, *bmcs: Simulator | RedfishBmc) -> Iterator[None]:
    """BMCs on that host: a thread stays in the namespace it is started in."""
    with ExitStack() as stack:
        with host.inside():
            for one in bmcs:
                stack.enter_context(one)
        yield

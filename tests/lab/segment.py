"""A network of a test's own: a bridge in a network namespace, and hosts cabled to it.

with Segment("10.77.0.1/24") as segment:
    host = segment.add_host(mac="52:54:00:00:00:01")
    host.run("udhcpc", "-i", "eth0")
    with segment.inside():  # this thread, and what it starts, is on the bridge's side
        ...

Each namespace belongs to a process that sleeps and dies with its owner, so nothing is left behind,
however the test ends.
"""

import ctypes
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

_LIBC = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1
_CLONE_NEWNET = 0x40000000


class Host:
    """A network namespace, kept by a process that sleeps."""

    def __init__(self) -> None:
        self._keeper = subprocess.Popen(
            ["unshare", "--net", "sh", "-c", "ip link set lo up && echo up && exec sleep infinity"],
            stdout=subprocess.PIPE,
            preexec_fn=die_with_parent,
        )
        assert self._keeper.stdout is not None
        if self._keeper.stdout.readline() != b"up\n":
            raise OSError("no network namespace could be made: this needs root")

    @property
    def namespace(self) -> Path:
        """The namespace, for nsenter and setns."""
        return Path(f"/proc/{self._keeper.pid}/ns/net")

    def command(self, *command: str) -> list[str]:
        """The command line that runs a command in here."""
        return ["nsenter", f"--net={self.namespace}", *command]

    def run(self, *command: str, timeout: float = 30) -> subprocess.CompletedProcess[str]:
        """Run a command in here to its end."""
        return subprocess.run(
            self.command(*command), capture_output=True, text=True, timeout=timeout, check=False
        )

    def ip(self, line: str) -> None:
        """One line of `ip`, which must succeed."""
        done = self.run("ip", *line.split())
        if done.returncode:
            raise OSError(f"ip {line}: {done.stderr.strip()}")

    @contextmanager
    def inside(self) -> Iterator[None]:
        """This thread, its sockets and the processes it starts are in here meanwhile."""
        before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        try:
            _enter(self.namespace)
            yield
        finally:
            _set_namespace(before)
            os.close(before)

    def close(self) -> None:
        """End the namespace's process; the namespace goes with the last process in it."""
        self._keeper.kill()
        self._keeper.wait()
        if self._keeper.stdout is not None:
            self._keeper.stdout.close()


class Segment(Host):
    """The bridge's side of the network."""

    def __init__(self, address: str, bridge: str = "br0") -> None:
        super().__init__()
        self.bridge = bridge
        self.hosts: list[Host] = []
        try:
            self.ip(f"link add {bridge} type bridge")
            self.ip(f"link set {bridge} up")
            self.ip(f"address add {address} dev {bridge}")
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the hosts, then the bridge's namespace."""
        for host in self.hosts:
            host.close()
        super().close()

    def add_host(self, mac: str) -> Host:
        """A host whose eth0 is cabled to the bridge."""
        host = Host()
        self.hosts.append(host)
        port = f"port{len(self.hosts)}"
        self.ip(f"link add {port} type veth peer name eth0 address {mac} netns {_pid(host)}")
        self.ip(f"link set {port} master {self.bridge} up")
        host.ip("link set eth0 up")
        return host


def die_with_parent() -> None:
    """For `preexec_fn`: the kernel kills the child when its parent ends."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def end_with_parent() -> None:
    """For `preexec_fn`: the same for a child that has something to end itself."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def _pid(host: Host) -> str:
    return host.namespace.parts[2]


def _enter(namespace: Path) -> None:
    descriptor = os.open(namespace, os.O_RDONLY)
    try:
        _set_namespace(descriptor)
    finally:
        os.close(descriptor)


def _set_namespace(descriptor: int) -> None:
    if _LIBC.setns(descriptor, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns failed: this needs root")

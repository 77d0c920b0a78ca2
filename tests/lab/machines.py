"""Distinct machines, each with its own files, network, processes and name, all real.

with Machines(directory, [Machine("r01n01", "127.0.20.1")]) as machines:
    subprocess.run(["ssh", *machines.ssh_options, "root@127.0.20.1", "hostname"])
    machines.stop("r01n01")
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.lab.boot import Boot
from tests.lab.keeper import KNOWN_HOSTS, PRIVATE_KEY, Keeper, remove_files
from tests.lab.keys import known_hosts_line, make_dropbear_key, make_key
from tests.lab.network import Interface, Nic, ip_lines, switch_lines
from tests.lab.roots import RootKind, find_or_build

USER = "root"

ASIDE = "etc/lab"
"""Directory in a machine for the files of its faults."""


@dataclass(frozen=True)
class Machine:
    """One machine as a test wants it: where it answers, what it runs, how it is wired."""

    name: str
    address: str
    root: RootKind = "debian"
    nics: Sequence[Interface] = (Nic("eth0"),)
    gateway: str | None = None
    aliases: Sequence[tuple[str, str]] = ()
    """More addresses, each with the hostname that the machine goes by there."""

    @property
    def addresses(self) -> list[str]:
        """All addresses at which the machine answers."""
        return [self.address, *(address for address, _ in self.aliases)]


class Machines:
    """A rack of machines that run while the context is open."""

    user = USER

    def __init__(self, directory: Path, machines: Sequence[Machine], port: int = 2222) -> None:
        self.directory = directory.absolute()
        self.port = port
        self._machines = {machine.name: machine for machine in machines}
        if len(self._machines) != len(machines):
            raise ValueError("two machines have the same name")
        self._pids: dict[str, int] = {}

    def __enter__(self) -> Self:
        self.directory.mkdir(parents=True, exist_ok=True)
        trees = {machine.root: find_or_build(machine.root) for machine in self._machines.values()}
        self._public_key = make_key(self.private_key, "lab")
        self._keeper = Keeper(self.directory)
        try:
            self._boot(trees)
            self._furnish_all()
            for machine in self._machines.values():
                self._open(machine)
        except BaseException:
            self._leave()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._leave()

    @property
    def private_key(self) -> Path:
        """The key that every machine lets in."""
        return self.directory / PRIVATE_KEY

    @property
    def known_hosts(self) -> Path:
        """The host keys that the machines had when they were started."""
        return self.directory / KNOWN_HOSTS

    @property
    def ssh_options(self) -> list[str]:
        """Options for OpenSSH's client to reach the machines, and never ask anybody."""
        options = {
            "BatchMode": "yes",
            "IdentitiesOnly": "yes",
            "IdentityFile": str(self.private_key),
            "Port": str(self.port),
            "StrictHostKeyChecking": "yes",
            "UserKnownHostsFile": str(self.known_hosts),
            "GlobalKnownHostsFile": "/dev/null",
            "LogLevel": "ERROR",
        }
        return ["-F", "none", *(f"-o{name}={value}" for name, value in options.items())]

    def root(self, name: str) -> Path:
        """Return the machine's / as this process sees it, to look at and to change."""
        return Path(f"/proc/{self._pids[name]}/root")

    def stop(self, name: str) -> None:
        """Refuse connections and cut those there are, as a machine without power does."""
        self._treat(name, "stopped")

    def silence(self, name: str) -> None:
        """Accept connections and say nothing at all."""
        self._treat(name, "silent")

    def slow_down(self, name: str, seconds: float) -> None:
        """Let every new connection wait before the SSH server greets it."""
        self._treat(name, "slow", seconds)

    def hang_up(self, name: str) -> None:
        """Cut the connections there are; new ones are welcome."""
        self._keeper.ask("hang_up", name=name)

    def refuse_key(self, name: str) -> None:
        """Let nobody in any more: the machine's list of authorized keys becomes empty."""
        self._write(name, "root/.ssh/authorized_keys", "", mode=0o600)

    def change_host_key(self, name: str) -> str:
        """Give the machine a new host key, as a reinstallation does; return the public key."""
        if self._machines[name].root == "busybox":
            return make_dropbear_key(self.root(name) / "etc/dropbear/host_key")
        return make_key(self.root(name) / "etc/ssh/ssh_host_ed25519_key", name)

    def truncate_output(self, name: str, size: int) -> None:
        """Cut the output of every command off after `size` bytes."""
        self._put_between(name, f'/bin/sh -c "$SSH_ORIGINAL_COMMAND" | head -c {size}')

    def print_before(self, name: str, text: str | bytes) -> None:
        """Print a text of the test's choice before the output of every command."""
        self._write(name, f"{ASIDE}/text", text)
        self._put_between(name, f'cat /{ASIDE}/text; exec /bin/sh -c "$SSH_ORIGINAL_COMMAND"')

    def print_instead(self, name: str, text: str | bytes, *, exit_code: int = 0) -> None:
        """Print a text of the test's choice and do not run the command."""
        self._write(name, f"{ASIDE}/text", text)
        self._put_between(name, f"cat /{ASIDE}/text; exit {exit_code}")

    def hang(self, name: str) -> None:
        """Let people in, and let every command sleep for ever."""
        self._put_between(name, "exec sleep 2147483647")

    def mend(self, name: str) -> None:
        """Undo every fault, except that a changed host key stays changed."""
        self._treat(name, "open")
        self._admit(name, options="")

    def _boot(self, trees: dict[RootKind, Path]) -> None:
        boots, cables = [], []
        for number, machine in enumerate(self._machines.values()):
            lines = ip_lines(machine.name, f"m{number}", machine.nics, machine.gateway)
            tree = str(trees[machine.root])
            boots.append(asdict(Boot(machine.name, machine.name, tree, lines)))
            cables += switch_lines(f"m{number}", machine.nics)
        answer = self._keeper.ask("boot", machines=boots, switch_lines=cables)
        self._pids = answer["pids"]

    def _furnish_all(self) -> None:
        """Give every machine its host key and its door key, and note the former down."""
        with ThreadPoolExecutor(4) as pool:
            lines = list(pool.map(self._furnish, self._machines))
        self.known_hosts.write_text("".join(lines))

    def _furnish(self, name: str) -> str:
        self._admit(name, options="")
        if self._machines[name].root != "busybox":
            self._write(name, "etc/machine-id", sha256(name.encode()).hexdigest()[:32] + "\n")
        key = self.change_host_key(name)
        addresses = self._machines[name].addresses
        return "".join(known_hosts_line(address, self.port, key) for address in addresses)

    def _open(self, machine: Machine) -> None:
        self._keeper.ask(
            "open",
            name=machine.name,
            server="dropbear" if machine.root == "busybox" else "sshd",
            port=self.port,
            hostnames={machine.address: "", **dict(machine.aliases)},
        )

    def _treat(self, name: str, manner: str, seconds: float = 0.0) -> None:
        self._keeper.ask("treat", name=self._machines[name].name, manner=manner, seconds=seconds)

    def _put_between(self, name: str, script: str) -> None:
        """Run a script in place of every command; it finds the command in its environment."""
        # Without a command people get a shell, which must meet the same fault.
        default = 'SSH_ORIGINAL_COMMAND="${SSH_ORIGINAL_COMMAND:-exec /bin/sh}"'
        self._write(name, f"{ASIDE}/between", f"#!/bin/sh\n{default}\n{script}\n", mode=0o755)
        self._admit(name, options=f'command="/{ASIDE}/between" ')

    def _admit(self, name: str, *, options: str) -> None:
        line = f"{options}{self._public_key}\n"
        self._write(name, "root/.ssh/authorized_keys", line, mode=0o600)

    def _write(self, name: str, path: str, content: str | bytes, mode: int = 0o644) -> None:
        file = self.root(name) / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        file.chmod(mode)

    def _leave(self) -> None:
        self._keeper.close()
        remove_files(self.directory)

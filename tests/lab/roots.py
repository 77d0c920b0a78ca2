"""Root directories of test machines: built once, kept in a cache, shared read-only.

`find_or_build("debian")` is all a caller needs. The distribution and its mirrors are those
of the machine the lab runs on.
"""

import fcntl
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, get_args

from api.errors import FirstboxError
from api.images import bootstrap
from tests.lab.errors import LabError

RootKind = Literal["debian-python", "debian", "busybox"]
KINDS: tuple[RootKind, ...] = get_args(RootKind)

PACKAGES = ("apt", "openssh-server", "iproute2", "util-linux", "python3")
SECONDS_TO_BUILD = 900

SSHD_CONFIG = """\
HostKey /etc/ssh/ssh_host_ed25519_key
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
UseDNS no
PrintMotd no
AcceptEnv LANG LC_*
Subsystem sftp /usr/lib/openssh/sftp-server
"""


def find_or_build(kind: RootKind) -> Path:
    """Return the root directory of this kind, building it if the cache has none."""
    tree = cache_directory() / f"{kind}-{_digest(kind)}"
    if tree.is_dir():
        return tree
    with _locked(cache_directory() / f"{kind}.lock"):
        if not tree.is_dir():
            _build(kind, tree)
    return tree


def cache_directory() -> Path:
    """Return where roots are kept, as an absolute path, and make it."""
    configured = os.environ.get("FIRSTBOX_LAB_CACHE")
    directory = Path(configured) if configured else Path.home() / ".cache" / "firstbox-lab"
    directory = directory.absolute()
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    return directory


def _build(kind: RootKind, tree: Path) -> None:
    """Build beside the final place and rename, so that a root is there whole or not at all."""
    for unfinished in tree.parent.glob(f"{kind}-*.part"):
        shutil.rmtree(unfinished)
    part = tree.with_name(f"{tree.name}.part")
    try:
        _BUILDERS[kind](part)
        part.rename(tree)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise


def _build_debian_python(tree: Path) -> None:
    try:
        bootstrap.bootstrap(tree, PACKAGES)
    except FirstboxError as error:
        raise LabError(error.message) from error
    for host_key in (tree / "etc/ssh").glob("ssh_host_*"):
        host_key.unlink()
    (tree / "etc/ssh/sshd_config").write_text(SSHD_CONFIG)
    (tree / "root/.ssh").mkdir(mode=0o700)


def _build_debian(tree: Path) -> None:
    """Take Python out of a copy: a second bootstrap would cost a minute more."""
    _run("cp", "--archive", "--reflink=auto", str(find_or_build("debian-python")), str(tree))
    listed = subprocess.run(
        ["dpkg-query", f"--admindir={tree}/var/lib/dpkg", "--show", "--showformat=${Package}\n"],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    python = [name for name in listed.stdout.split() if re.match(r"(lib)?python3", name)]
    _run("chroot", str(tree), "dpkg", "--purge", *python)


def _build_busybox(tree: Path) -> None:
    for directory in ("bin", "dev", "etc/dropbear", "proc", "run", "sys", "tmp", "usr", "var/log"):
        (tree / directory).mkdir(parents=True)
    (tree / "root/.ssh").mkdir(parents=True)
    for private in ("root", "root/.ssh"):
        (tree / private).chmod(0o700)
    (tree / "tmp").chmod(0o1777)
    (tree / "sbin").symlink_to("bin")
    for directory in ("bin", "sbin"):
        (tree / "usr" / directory).symlink_to("../bin")
    shutil.copy(_program("busybox"), tree / "bin/busybox")
    _run("chroot", str(tree), "/bin/busybox", "--install", "-s", "/bin")
    _copy_with_libraries(_program("dropbear"), tree)
    (tree / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (tree / "etc/shadow").write_text("root:*:19000:0:99999:7:::\n")
    (tree / "etc/group").write_text("root:x:0:\n")
    (tree / "etc/shells").write_text("/bin/sh\n")
    (tree / "etc/os-release").write_text('ID=busybox\nNAME="BusyBox"\nPRETTY_NAME="BusyBox"\n')


_BUILDERS: dict[RootKind, Callable[[Path], None]] = {
    "debian-python": _build_debian_python,
    "debian": _build_debian,
    "busybox": _build_busybox,
}


def _copy_with_libraries(program: str, tree: Path) -> None:
    """Copy a program to /bin and its shared libraries to where the loader expects them."""
    shutil.copy(program, tree / "bin")
    loader_output = subprocess.run(
        ["ldd", program], check=True, capture_output=True, text=True, timeout=60
    ).stdout
    for library in re.findall(r"(/\S+) \(0x", loader_output):
        inside = tree / library.lstrip("/")
        inside.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(library, inside)


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise LabError(f"{name} is not installed: run deploy/install-system-packages lab")
    return found


def _digest(kind: RootKind) -> str:
    """Digest the recipe, so that a changed recipe builds a new root and finds no old one."""
    recipe: list[object] = [
        Path(__file__).read_text(),
        Path(bootstrap.__file__).read_text(),
        platform.machine(),
    ]
    if kind == "busybox":
        recipe.append(
            [
                (path := _program(name), os.stat(path).st_size, os.stat(path).st_mtime)
                for name in ("busybox", "dropbear")
            ]
        )
    else:
        recipe.append(bootstrap.suite())
    return hashlib.sha256(json.dumps(recipe).encode()).hexdigest()[:12]


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _run(*command: str) -> None:
    environment = {
        **os.environ,
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "DEBIAN_FRONTEND": "noninteractive",
        "LC_ALL": "C.UTF-8",
    }
    _program(command[0])
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=SECONDS_TO_BUILD, env=environment
    )
    if done.returncode:
        raise LabError(f"{command[0]} ended with {done.returncode}: {done.stderr[-2000:]}")

"""SSH keys of the lab: one for the client, one for each machine."""

import subprocess
from pathlib import Path


def make_key(path: Path, comment: str) -> str:
    """Write a new ed25519 key pair to `path` and `path`.pub; return the public line."""
    path.unlink(missing_ok=True)
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path)],
        check=True,
        stdin=subprocess.DEVNULL,
        timeout=30,
    )
    return path.with_name(path.name + ".pub").read_text().strip()


def make_dropbear_key(path: Path) -> str:
    """Write a new ed25519 key in dropbear's own format; return the public line."""
    path.unlink(missing_ok=True)
    answer = subprocess.run(
        ["dropbearkey", "-t", "ed25519", "-f", str(path)],
        check=True,
        capture_output=True,
        text=True,
        timeout=30,
    )
    return next(line for line in answer.stdout.splitlines() if line.startswith("ssh-ed25519 "))


def known_hosts_line(address: str, port: int, public_key: str) -> str:
    """Return the line by which an SSH client recognises this host."""
    kind, key = public_key.split()[:2]
    return f"[{address}]:{port} {kind} {key}\n"

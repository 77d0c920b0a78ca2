"""Debian root directories, made of packages from where this machine itself gets its packages."""

import os
import platform
import re
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from api.errors import FirstboxError
from api.images.programs import run
from api.images.progress import Say

_PATIENCE = 1800.0  # seconds for one root: a slow mirror and a slow machine
_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "DEBIAN_FRONTEND": "noninteractive",
    "LC_ALL": "C.UTF-8",
}
UNREAD = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/info/*", "/usr/share/locale/*")


def bootstrap(
    tree: Path,
    packages: Sequence[str],
    *,
    left_out: Sequence[str] = UNREAD,
    options: Sequence[str] = (),
    say: Say = lambda _text: None,
) -> None:
    """Install `packages` and what they need into the empty or missing directory `tree`.

    `left_out` are patterns of paths that are never unpacked, `options` more of mmdebstrap's own.
    """
    _expect_builder()
    with tempfile.TemporaryDirectory(prefix="firstbox-apt-") as place:
        sources = distribution_sources(Path(place))
        run(
            "mmdebstrap",
            "--mode=root",
            "--variant=minbase",
            "--format=directory",
            f"--include={','.join(packages)}",
            *(f"--dpkgopt=path-exclude={pattern}" for pattern in left_out),
            "--dpkgopt=force-unsafe-io",
            *(f"--aptopt={option}" for option in apt_proxies()),
            *options,
            suite(),
            str(tree),
            *(str(file) for file in sources),
            patience=_PATIENCE,
            environment={**os.environ, **_ENVIRONMENT},
            each_line=lambda line: say(line[3:]) if line.startswith("I: ") else None,
        )


def _expect_builder() -> None:
    if os.geteuid() != 0:
        raise FirstboxError("Root directories are made by root: use sudo.")


def expect_debian(*architectures: str) -> None:
    """Refuse to build where package names are other ones, or the result would not start."""
    release = platform.freedesktop_os_release()
    if release["ID"] != "debian":
        raise FirstboxError(
            f"It is made of Debian packages, and this machine runs {release['ID']}: build on Debian."
        )
    if platform.machine() not in architectures:
        raise FirstboxError(
            f"It is made for {' and '.join(architectures)}, not {platform.machine()}."
        )


def suite() -> str:
    """This machine's release, such as `bookworm`: roots are of the same."""
    return platform.freedesktop_os_release()["VERSION_CODENAME"]


def distribution_sources(directory: Path) -> list[Path]:
    """This machine's apt sources as files in `directory`, without those of other publishers."""
    release = suite()
    chosen = {
        "distribution.list": "\n".join(
            line
            for line in _entries("*.list", separator=r"\n")
            if re.match(rf"deb\s+(\[[^]]*\]\s+)?\S+\s+{release}(-\S+)?\s", line)
        ),
        "distribution.sources": "\n\n".join(
            stanza
            for stanza in _entries("*.sources", separator=r"\n\s*\n")
            if re.search(rf"^Suites:(.*\s)?{release}(-|\s|$)", stanza, re.MULTILINE)
        ),
    }
    files = [directory / name for name, text in chosen.items() if text]
    for file in files:
        file.write_text(chosen[file.name] + "\n")
    if not files:
        raise FirstboxError(
            f"/etc/apt has no source for {release}: roots are made from its packages."
        )
    return files


def _entries(pattern: str, *, separator: str) -> Iterator[str]:
    """The entries of all apt source files whose name matches."""
    for directory in (Path("/etc/apt"), Path("/etc/apt/sources.list.d")):
        for file in sorted(directory.glob(pattern)):
            yield from re.split(separator, file.read_text())


def apt_proxies() -> list[str]:
    """This machine's apt proxies: mmdebstrap starts from an empty configuration."""
    dump = subprocess.run(
        ["apt-config", "dump"], check=True, capture_output=True, text=True, timeout=60
    )
    return re.findall(r"^Acquire::https?::Proxy .*(?=;$)", dump.stdout, re.MULTILINE)

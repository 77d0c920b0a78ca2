"""Files from elsewhere, and what they must prove."""

import hashlib
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from api.errors import FirstboxError, Malformed
from api.images import fetch as fetching
from api.images.fetch import Checksum, fetch, verify_signature

CONTENT = b"an image" * 300_000
SHA256 = Checksum("sha256", hashlib.sha256(CONTENT).hexdigest())
SHA512 = Checksum("sha512", hashlib.sha512(CONTENT).hexdigest())


class Mirror(BaseHTTPRequestHandler):
    """Has one image, says it moved, stands still in the middle, or ends too early."""

    def do_GET(self) -> None:
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("location", "/image")
            self.end_headers()
            return
        self.send_response(200 if self.path in ("/image", "/stall", "/short") else 404)
        self.send_header("content-length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT if self.path == "/image" else CONTENT[:9])
        if self.path == "/stall":
            self.server.let_go.wait(20)  # type: ignore[attr-defined]

    def log_message(self, *_: object) -> None:
        """Nothing on the test's own output."""


@pytest.fixture
def mirror() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Mirror)
    server.let_go = threading.Event()  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.let_go.set()  # type: ignore[attr-defined]
    server.shutdown()
    thread.join(10)
    server.server_close()


@pytest.fixture
def local(tmp_path: Path) -> Path:
    path = tmp_path / "an image"
    path.write_bytes(CONTENT)
    return path


def ignore(_done: int, _total: int) -> None:
    """Progress nobody looks at."""


@pytest.mark.parametrize("checksum", [SHA256, SHA512])
@pytest.mark.parametrize("name", ["image", "moved"])
def test_an_image_comes_over_http(
    mirror: str, tmp_path: Path, name: str, checksum: Checksum
) -> None:
    seen: list[tuple[int, int]] = []

    path = fetch(f"{mirror}/{name}", tmp_path / "got", checksum, lambda *done: seen.append(done))

    assert path.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))


def test_a_local_file_is_read_where_it_is(local: Path, tmp_path: Path) -> None:
    for source in (str(local), local.as_uri()):
        assert fetch(source, tmp_path / "got", SHA256, ignore) == local
    assert not (tmp_path / "got").exists()


def test_another_checksum_is_refused_with_both(local: Path, tmp_path: Path) -> None:
    wrong = "0" * 64

    with pytest.raises(FirstboxError, match=f"{SHA256.value}, and {wrong} was expected"):
        fetch(str(local), tmp_path / "got", Checksum("sha256", wrong), ignore)


@pytest.mark.parametrize(
    ("name", "reason"), [("none", "HTTP 404"), ("short", "cannot be fetched: peer closed")]
)
def test_what_the_mirror_does_not_give_is_one_sentence(
    mirror: str, tmp_path: Path, name: str, reason: str
) -> None:
    with pytest.raises(FirstboxError, match=reason):
        fetch(f"{mirror}/{name}", tmp_path / "got", SHA256, ignore)


def test_a_mirror_that_stands_still_is_given_up(
    mirror: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "_STALL", 0.5)

    with pytest.raises(FirstboxError, match=r"stood still for 0\.5 s"):
        fetch(f"{mirror}/stall", tmp_path / "got", SHA256, ignore)


@pytest.mark.parametrize("source", ["/nowhere", "ftp://127.0.0.1/image", "http://127.0.0.1:1/x"])
def test_other_sources_are_refused(source: str, tmp_path: Path) -> None:
    with pytest.raises(FirstboxError):
        fetch(source, tmp_path / "got", SHA256, ignore)


@pytest.mark.parametrize(("kind", "value"), [("sha256", "0" * 63), ("sha512", "x" * 128)])
def test_a_checksum_has_its_length_in_hexadecimal(kind: str, value: str) -> None:
    with pytest.raises(Malformed):
        Checksum(kind, value)


def test_a_signature_counts_with_its_keyring_alone(local: Path, tmp_path: Path) -> None:
    signature, keyring = sign(local, tmp_path / "alice")
    _, another = sign(local, tmp_path / "mallory")

    verify_signature(local, signature, keyring)
    with pytest.raises(FirstboxError, match="No public key"):
        verify_signature(local, signature, another)
    local.write_bytes(CONTENT + b"!")
    with pytest.raises(FirstboxError, match="BAD signature"):
        verify_signature(local, signature, keyring)


def sign(file: Path, home: Path) -> tuple[Path, Path]:
    """A signature over a file by a new key, and the keyring that key is in."""
    home.mkdir(mode=0o700)
    signature, keyring = home / "image.sig", home / "keys.gpg"
    gpg = ["gpg", "--homedir", str(home), "--batch", "--quiet", "--passphrase", ""]
    for command in (
        ["--quick-generate-key", f"{home.name}@example.org", "ed25519", "sign"],
        ["--detach-sign", "--output", str(signature), str(file)],
        ["--export", "--output", str(keyring)],
    ):
        subprocess.run([*gpg, *command], check=True, capture_output=True, timeout=60)
    subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=True, timeout=60)
    return signature, keyring

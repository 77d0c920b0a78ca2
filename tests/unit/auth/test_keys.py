import subprocess
from pathlib import Path

from api.auth.keys import load_login_key, make_keys
from api.settings import Settings


def test_keys_are_for_their_owner_alone(settings: Settings) -> None:
    assert mode(settings.keys) == 0o700
    assert mode(settings.keys / "login_rsa.pem") == 0o600
    assert mode(settings.keys / "ssh_ed25519") == 0o600


def test_the_login_key_has_3072_bits(settings: Settings) -> None:
    assert load_login_key(settings).key_size == 3072


def test_the_ssh_pair_belongs_together_and_openssh_reads_it(settings: Settings) -> None:
    private = settings.keys / "ssh_ed25519"
    derived = subprocess.run(
        ["ssh-keygen", "-y", "-f", private], check=True, capture_output=True, text=True
    ).stdout.split()[:2]

    assert private.with_suffix(".pub").read_text().split() == [*derived, "firstbox"]


def test_keys_are_never_made_twice(settings: Settings) -> None:
    before = contents(settings.keys)

    assert make_keys(settings) == []
    assert contents(settings.keys) == before


def test_a_lost_public_key_is_made_from_the_private_one(settings: Settings) -> None:
    before = contents(settings.keys)
    public = settings.keys / "ssh_ed25519.pub"
    public.unlink()

    assert make_keys(settings) == [public]
    assert contents(settings.keys) == before


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}

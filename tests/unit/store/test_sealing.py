"""Secrets are sealed with the key file's first key, as the file is at that moment."""

from pathlib import Path

import pytest

from api.errors import FirstboxError
from api.store.sealing import KEY_FILE, Seal, new_key


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    (tmp_path / KEY_FILE).write_bytes(new_key())
    return tmp_path


def replace_file(keys: Path, content: bytes) -> None:
    draft = keys / "draft"
    draft.write_bytes(content)
    draft.replace(keys / KEY_FILE)


def test_a_seal_takes_up_a_key_file_that_is_replaced(keys: Path) -> None:
    seal, first = Seal(keys), (keys / KEY_FILE).read_bytes()
    sealed, signature = seal.close("s3cret"), seal.sign("boot b-1")
    second = new_key()

    replace_file(keys, second + first)

    assert seal.open(sealed) == "s3cret"
    assert seal.is_signed("boot b-1", signature)
    assert not seal.is_current(sealed)
    assert seal.is_current(seal.close("s3cret"))
    replace_file(keys, second)
    assert not seal.is_signed("boot b-1", signature)
    with pytest.raises(FirstboxError, match="does not have"):
        seal.open(sealed)


def test_the_next_key_opens_and_does_not_seal_wherever_its_line_stands(keys: Path) -> None:
    first, coming = (keys / KEY_FILE).read_bytes(), new_key()
    replace_file(keys, coming)
    sealed_elsewhere = Seal(keys).close("s3cret")

    replace_file(keys, b"next " + coming + first)

    seal = Seal(keys)
    assert seal.open(sealed_elsewhere) == "s3cret"
    assert not seal.is_current(sealed_elsewhere)


def test_no_secret_needs_no_key(keys: Path) -> None:
    seal = Seal(keys)

    assert (seal.close(""), seal.open(""), seal.is_current("")) == ("", "", True)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"next " + new_key(), "is empty"),
        (b"not a key\n", "no key"),
        (new_key() + 2 * (b"next " + new_key()), "2 lines"),
    ],
)
def test_a_broken_key_file_is_said_before_the_work_begins(
    keys: Path, content: bytes, words: str
) -> None:
    replace_file(keys, content)

    with pytest.raises(FirstboxError, match=words):
        Seal(keys)


def test_a_key_file_that_is_away_is_said(keys: Path) -> None:
    seal = Seal(keys)
    (keys / KEY_FILE).unlink()

    with pytest.raises(FirstboxError, match="cannot be read"):
        seal.close("s3cret")

"""The sealing key's file, from one key to the next."""

import pytest

from api.auth.sealing_key import add_next, drop_old, use_next
from api.settings import Settings
from api.store.sealing import KEY_FILE, KeyFile, Seal, read_keys


def now(settings: Settings) -> KeyFile:
    return read_keys(settings.keys / KEY_FILE)


def test_a_key_goes_from_next_to_first_to_old_and_is_forgotten(settings: Settings) -> None:
    before = now(settings).first
    coming = add_next(settings).next
    assert now(settings) == KeyFile(before, (), coming)

    assert use_next(settings) == now(settings) == KeyFile(coming or b"", (before,))
    assert drop_old(settings) == 1

    assert now(settings) == KeyFile(coming or b"")


def test_a_next_key_is_made_once_and_without_one_the_rotation_makes_it(settings: Settings) -> None:
    assert add_next(settings) == add_next(settings)
    use_next(settings)
    drop_old(settings)
    before = now(settings).first

    assert use_next(settings).old == (before,)


def test_a_rotation_under_way_is_gone_on_with_and_not_begun_again(settings: Settings) -> None:
    under_way = use_next(settings)

    assert use_next(settings) == under_way


def test_the_file_is_replaced_whole_and_stays_its_owners_alone(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = settings.keys / KEY_FILE
    before = path.read_bytes()
    monkeypatch.setattr("os.fsync", lambda _handle: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        use_next(settings)

    assert path.read_bytes() == before
    assert len(list(settings.keys.iterdir())) == 4
    monkeypatch.undo()
    use_next(settings)
    assert path.stat().st_mode & 0o777 == 0o600
    assert Seal(settings.keys).open(Seal(settings.keys).close("s3cret")) == "s3cret"

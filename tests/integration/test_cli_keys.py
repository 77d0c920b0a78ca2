"""Keys of a service on several hosts: made once, rotated while it runs."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import Engine, select

from api.settings import Settings
from api.states import Role
from api.store.bm_nodes import BM_NODE
from api.store.sealing import KEY_FILE, Seal, read_keys
from api.store.session import reading
from tests.machines import plant_bm_node
from tests.users import plant_user

PASSWORD = "correct horse battery"


def begin(home: Path, *arguments: str, url: str = "") -> subprocess.Popen[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("FIRSTBOX_")}
    return subprocess.Popen(
        [sys.executable, "-m", "api.cli", *arguments],
        env=clean | {"FIRSTBOX_HOME": str(home), "FIRSTBOX_DATABASE_URL": url},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def ended(*processes: subprocess.Popen[str]) -> list[str]:
    """What each said until its end; none is left."""
    try:
        return [process.communicate(timeout=60)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()


def said(process: subprocess.Popen[str], code: int = 0) -> str:
    (output,) = ended(process)
    assert process.returncode == code, output
    return output


def firstbox(home: Path, *arguments: str, code: int = 0) -> str:
    return said(begin(home, *arguments), code)


def test_of_hosts_that_begin_at_once_one_makes_keys_and_the_others_ask_for_them(
    tmp_path: Path, postgres_url: str
) -> None:
    homes = [tmp_path / "one", tmp_path / "two"]
    started = [begin(home, "init", url=postgres_url) for home in homes]

    outputs = ended(*started)

    codes = [process.returncode for process in started]
    assert sorted(codes) == [0, 1], outputs
    maker = homes[codes.index(0)]
    assert sum("Made the first admin: admin." in output for output in outputs) == 1
    (other,) = (home for home in homes if home != maker)
    refused = outputs[homes.index(other)]
    assert "is in use" in refused
    assert "from a host that has them" in refused
    shutil.copytree(maker / "keys", other / "keys")
    assert "There is an admin already" in said(begin(other, "init", url=postgres_url))


def test_lost_keys_are_made_anew_only_when_told(settings: Settings, engine: Engine) -> None:
    plant_user(engine, "admin", Role.ADMIN)
    shutil.rmtree(settings.keys)

    assert "sealing.key" in firstbox(settings.home, "init", code=1)
    assert not (settings.keys / "sealing.key").exists()
    assert "Made keys" in firstbox(settings.home, "init", "--new-keys")


@pytest.fixture
def rotated(settings: Settings, engine: Engine) -> Settings:
    """A home with a machine, whose key is being rotated."""
    plant_bm_node(engine, 1, ipmi_password=Seal(settings.keys).close(PASSWORD))
    coming = name_in(r"The next key is (\w+)", firstbox(settings.home, "key", "next"))
    rotated = name_in(r"Key (\w+) seals; 1 secrets", firstbox(settings.home, "key", "rotate"))
    assert rotated == coming
    return settings


def test_a_key_is_rotated_and_retired(rotated: Settings, engine: Engine) -> None:
    listed = firstbox(rotated.home, "key", "list")
    assert len(listed.splitlines()) == 3

    assert "Forgot 1 old keys" in firstbox(rotated.home, "key", "retire")

    assert len(read_keys(rotated.keys / KEY_FILE).all) == 1
    with reading(engine) as connection:
        sealed = connection.execute(select(BM_NODE.c.ipmi_password)).scalar_one()
    assert Seal(rotated.keys).open(sealed) == PASSWORD


def test_a_key_that_another_host_still_seals_with_is_kept(
    rotated: Settings, engine: Engine, tmp_path: Path
) -> None:
    old_key = read_keys(rotated.keys / KEY_FILE).old[0]
    (tmp_path / KEY_FILE).write_bytes(old_key)
    plant_bm_node(engine, 2, ipmi_password=Seal(tmp_path).close("s3cret"))

    refused = firstbox(rotated.home, "key", "retire", code=1)

    assert "1 secrets were sealed with an old key" in refused
    assert read_keys(rotated.keys / KEY_FILE).old == (old_key,)
    assert "Forgot 1 old keys" in firstbox(rotated.home, "key", "retire")


def name_in(pattern: str, output: str) -> str:
    found = re.search(pattern, output)
    assert found, output
    return found[1]

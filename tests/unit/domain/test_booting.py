"""What is said about a machine that boots, and how often."""

from types import SimpleNamespace
from typing import Any

import pytest

from api.domain.booting import Booting, Repeats, greet, loudly
from api.errors import Conflict
from api.store.boots import Sighting

MAC = "52:54:00:00:00:01"


def caller(serial_number: str | None) -> Booting:
    """A machine with this serial number registered."""
    boot: Any = SimpleNamespace(boot_id="b-1", node_id="n-1", mac=MAC)
    machine: Any = SimpleNamespace(serial_number=serial_number)
    return Booting(boot, machine)


def hello(serial_number: str, *macs: str) -> dict[str, Any]:
    """What a ramdisk says."""
    nics = [
        {"name": f"eth{n}", "mac": mac, "carrier": True} for n, mac in enumerate(macs or (MAC,))
    ]
    return {"serial_number": serial_number, "host_key": "ssh-ed25519 AAAA", "nics": nics}


@pytest.mark.parametrize(
    ("registered", "shown"), [("SN", "SN"), (None, "SN"), ("SN", ""), ("", "")]
)
def test_a_machine_that_may_be_the_registered_one_is_welcome(
    registered: str | None, shown: str
) -> None:
    seen = greet(caller(registered), hello(shown), "10.77.0.101")
    assert not seen.is_failure
    assert "wrong" not in seen.values["hello"]
    assert seen.values["address"] == "10.77.0.101"


def test_another_serial_number_is_a_failure_that_names_both() -> None:
    seen = greet(caller("SN-1"), hello("SN-2"), "10.77.0.101")
    assert seen.is_failure
    assert "SN-1" in seen.values["hello"]["wrong"]
    assert "SN-2" in seen.text


def test_a_machine_without_the_card_it_booted_from_is_refused() -> None:
    with pytest.raises(Conflict, match=MAC):
        greet(caller(None), hello("SN", "52:54:00:00:00:02"), "10.77.0.101")


def test_the_same_words_pass_once_in_a_while() -> None:
    repeats = Repeats(pause=60)
    assert [repeats.is_new("b-1", "asks") for _ in range(100)].count(True) == 1
    assert repeats.is_new("b-2", "asks")
    assert Repeats(pause=0).is_new("b-1", "asks")


def test_what_is_not_said_again_still_counts() -> None:
    boot: Any = SimpleNamespace(boot_id="b-1")
    repeats = Repeats()
    seen = [Sighting(boot, "asks", {"dhcp_time": 1.0}) for _ in range(2)]
    first, second = loudly(seen, repeats)
    assert (first.text, second.text) == ("asks", "")
    assert second.values == {"dhcp_time": 1.0}

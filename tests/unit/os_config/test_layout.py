import pytest

from api.os_config.layout import Nic, NicMissing, place
from tests.unit.os_config.machines import (
    BOND_AND_VLAN,
    BOOT,
    NICS,
    PUBLIC,
    SECOND,
    THIRD,
    wanted,
)


def test_management_is_on_the_card_that_boots() -> None:
    [mgmt] = place(wanted(), NICS)

    assert (mgmt.name, mgmt.nics) == ("ens3", (NICS[0],))
    assert mgmt.network.interface == "10.0.0.5/24"


def test_public_is_on_the_first_other_card_with_a_link() -> None:
    _, public = place(wanted(**PUBLIC), [NICS[0], NICS[2], NICS[1]])

    assert public.name == "ens4"


def test_a_bond_takes_every_card_with_a_link_that_nobody_else_names() -> None:
    [mgmt] = place(wanted(is_mgmt_config_bond=1), NICS)

    assert (mgmt.name, mgmt.nics) == ("bond0", (NICS[0], NICS[1]))


def test_a_bond_leaves_the_card_that_the_public_network_names() -> None:
    mgmt, public = place(
        wanted(is_mgmt_config_bond=1, **PUBLIC, public_bond_members=[SECOND]), NICS
    )

    assert [nic.mac for nic in mgmt.nics] == [BOOT]
    assert public.name == "ens4"


def test_named_members_need_no_link() -> None:
    [mgmt] = place(wanted(is_mgmt_config_bond=1, mgmt_bond_members=[BOOT, THIRD]), NICS)

    assert [nic.mac for nic in mgmt.nics] == [BOOT, THIRD]


def test_a_vlan_without_members_stands_on_what_carries_management() -> None:
    _, public = place(wanted(**BOND_AND_VLAN), NICS)

    assert (public.name, public.device) == ("bond0.100", "bond0")


def test_two_bonds_of_the_same_cards_are_one() -> None:
    mgmt, public = place(wanted(is_mgmt_config_bond=1, **PUBLIC, is_public_config_bond=1), NICS)

    assert mgmt.device == public.device == "bond0"


def test_two_bonds_of_different_cards_are_two() -> None:
    mgmt, public = place(
        wanted(
            is_mgmt_config_bond=1,
            mgmt_bond_members=[BOOT],
            **PUBLIC,
            is_public_config_bond=1,
            public_bond_members=[SECOND, THIRD],
        ),
        NICS,
    )

    assert (mgmt.device, public.device) == ("bond0", "bond1")


@pytest.mark.parametrize(
    ("values", "nics", "message"),
    [
        ({}, NICS[1:], f"no card with the boot MAC {BOOT}; it has ens4"),
        ({"mgmt_bond_members": ["52:54:00:00:00:99"]}, NICS, "which mgmt_bond_members names"),
        (PUBLIC, [NICS[0], NICS[2]], "left for the public network; .*ens5 .* without a link"),
        ({}, list[Nic](), "it has none at all"),
    ],
)
def test_a_card_that_is_missing_is_named(
    values: dict[str, object], nics: list[Nic], message: str
) -> None:
    with pytest.raises(NicMissing, match=message):
        place(wanted(**values), nics)

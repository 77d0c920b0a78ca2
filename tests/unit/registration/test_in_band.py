import string

import pytest

from api.registration.in_band import InBand, in_band_of, new_password

MAC = "52:54:00:00:00:01"


def test_a_machine_without_a_bmc_has_none() -> None:
    assert in_band_of({"no_bmc": ""}) is None


def test_a_bmc_that_tells_where_it_is_is_found() -> None:
    assert in_band_of({"lan": f"1 10.0.0.9 {MAC.upper()}"}) == InBand("1", "10.0.0.9", MAC)


def test_a_bmc_without_a_mac_is_found_all_the_same() -> None:
    assert in_band_of({"lan": "8 10.0.0.9"}) == InBand("8", "10.0.0.9")
    assert in_band_of({"lan": "8 10.0.0.9 ff:ff:ff:ff:ff:ff"}) == InBand("8", "10.0.0.9")


@pytest.mark.parametrize(
    "said",
    [
        "",
        "1",
        "x 10.0.0.9",
        "1 10.0.0",
        "1 $(reboot)",
        "1 0.0.0.0",
        "1 224.0.0.1",
        "1 169.254.0.9",
        "² 1.2.3.4",
    ],
)
def test_nonsense_is_a_bmc_that_tells_nothing(said: str) -> None:
    found = in_band_of({"lan": said})

    assert found is not None
    assert found.trouble
    assert not found.address


def test_a_silent_bmc_says_why() -> None:
    assert in_band_of({"silent": "its BMC has no address"}) == InBand(
        trouble="its BMC has no address"
    )


def test_passwords_fit_the_rules_of_bmcs_and_are_never_the_same() -> None:
    passwords = {new_password() for _ in range(200)}

    assert len(passwords) == 200
    for password in passwords:
        assert len(password.encode()) == 16
        assert password[0].isalpha()
        for kind in (string.ascii_lowercase, string.ascii_uppercase, string.digits, "-._"):
            assert set(kind) & set(password)
        assert set(password) <= {*string.ascii_letters, *string.digits, *"-._"}

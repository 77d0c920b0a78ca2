"""What installers are told."""

import pytest

from api.errors import FirstboxError
from api.images.installers import parse_values

MIRROR = "mirror=http://mirror.example.org/debian"


def test_words_become_values() -> None:
    assert parse_values("preseed", [MIRROR, "suite=bookworm"]) == {
        "mirror": "http://mirror.example.org/debian",
        "suite": "bookworm",
    }


@pytest.mark.parametrize("word", ["suite", "suite=a b", "suite=a\nb", "Suite=a", "suite=", "=a"])
def test_a_value_is_one_word(word: str) -> None:
    with pytest.raises(FirstboxError, match="is not NAME=VALUE"):
        parse_values("preseed", [MIRROR, word])


@pytest.mark.parametrize(
    ("method", "words"),
    [
        ("preseed", ["suite=bookworm"]),
        ("kickstart", [MIRROR]),
        ("autoinstall", ["iso=/a/path.iso"]),
        ("autoinstall", ["iso=http://a.example.org/'x"]),
    ],
)
def test_each_method_needs_its_address(method: str, words: list[str]) -> None:
    with pytest.raises(FirstboxError, match=f"The method {method} needs --value"):
        parse_values(method, words)

import subprocess

import pytest

from api.os_config.script import assignments, verdict_of


@pytest.mark.parametrize("value", ["sda", "a b", "$(touch /x)", "'; id #", "`id`", "a\nb", ""])
def test_a_value_reaches_the_shell_as_it_is(value: str) -> None:
    script = assignments(value=value) + 'printf %s "$value"'

    assert subprocess.run(["sh", "-c", script], capture_output=True, text=True).stdout == value


def test_a_verdict_is_a_word_and_a_sentence_without_control_characters() -> None:
    output = "noise\n%disk_faulty /dev/sda \x1b[31mcan only be read\n%written 12\n"

    assert verdict_of(output) == {
        "disk_faulty": "/dev/sda ?[31mcan only be read",
        "written": "12",
    }

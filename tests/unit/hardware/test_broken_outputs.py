"""Whatever a machine answers, it is a record or a ProbeError that says what is missing."""

import random
import re
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.hardware.model import Hardware, to_json
from api.hardware.parse import parse_probe
from api.hardware.sections import MAX_TEXT, ProbeError
from tests.unit.hardware.conftest import RECORDED, WORD

TEXTS = [path.read_text() for path in sorted(RECORDED.glob("*.txt"))]
MakeProbe = Callable[..., str]


def parse_or_refuse(text: str) -> Hardware | None:
    try:
        return parse_probe(text, "10.0.0.1")
    except ProbeError:
        return None


def find_strings(value: object) -> list[str]:
    if isinstance(value, dict):
        return [text for item in value.values() for text in find_strings(item)]
    if isinstance(value, list):
        return [text for item in value for text in find_strings(item)]
    return [value] if isinstance(value, str) else []


@pytest.mark.parametrize("text", TEXTS, ids=[p.stem for p in sorted(RECORDED.glob("*.txt"))])
def test_output_cut_at_any_line_is_refused(text: str) -> None:
    lines = text.splitlines(keepends=True)

    for kept in range(len(lines)):
        with pytest.raises(ProbeError):
            parse_probe("".join(lines[:kept]))


@pytest.mark.parametrize(
    "text", ["", "\n", "sh: not found\n", "%firstbox-probe 1 \n", "\x00\xff\x1b[31m" * 1000]
)
def test_output_without_a_probe_names_everything_missing(text: str) -> None:
    with pytest.raises(ProbeError) as refusal:
        parse_probe(text)

    assert len(refusal.value.missing) == 8
    assert "the disks" in str(refusal.value)


@pytest.mark.parametrize("seed", range(20))
def test_binary_junk_is_refused(seed: int) -> None:
    generator = random.Random(seed)  # noqa: S311 # the same junk in every run
    junk = generator.randbytes(20_000).decode("latin-1")

    with pytest.raises(ProbeError):
        parse_probe(junk)


@pytest.mark.parametrize(
    ("section", "word"),
    [
        ("uname", "kernel"),
        ("memory", "memory"),
        ("cpu", "processors"),
        ("block", "disks"),
        ("mounts", "file systems"),
        ("link", "interfaces"),
        ("address", "addresses"),
    ],
)
def test_missing_essential_section_is_named(section: str, word: str, make_probe: MakeProbe) -> None:
    text = re.sub(rf"%begin \S+ {section}\n.*?%end \S+ {section} 0\n", "", make_probe(), flags=re.S)

    with pytest.raises(ProbeError, match=word):
        parse_probe(text)


@pytest.mark.parametrize("section", ["uname", "memory", "cpu"])
def test_essential_section_that_says_nothing_is_named(section: str, make_probe: MakeProbe) -> None:
    with pytest.raises(ProbeError, match=f"section {section}"):
        parse_probe(make_probe(**{section: ["nonsense"]}))


@pytest.mark.parametrize("code", [124, 137, 143])
def test_section_whose_command_was_killed_is_missing(code: int, make_probe: MakeProbe) -> None:
    with pytest.raises(ProbeError, match="the disks"):
        parse_probe(make_probe(exit_codes={"block": code}, block=["sda/size:100"]))


def test_machine_without_sys_is_not_taken_for_one_without_disks(make_probe: MakeProbe) -> None:
    with pytest.raises(ProbeError, match="the disks"):
        parse_probe(make_probe(exit_codes={"block": 3}))


def test_missing_extra_section_leaves_a_poorer_record(make_probe: MakeProbe) -> None:
    hardware = parse_probe(make_probe(exit_codes={"lsblk": 127, "links": 2, "dmi": 137}))

    assert hardware.hostname == "box"
    assert hardware.system.brand == ""


def test_markers_inside_a_section_are_just_text(make_probe: MakeProbe) -> None:
    forged = [
        "%end 00000000-0000-4000-8000-000000000000 os 0",
        "%done 00000000-0000-4000-8000-000000000000",
        "%begin 00000000-0000-4000-8000-000000000000 dmi",
        "/sys/class/dmi/id/sys_vendor:FORGED",
        "/etc/os-release:ID=alpine",
    ]

    hardware = parse_probe(make_probe(os=forged))

    assert hardware.os.os_name == "alpine"
    assert hardware.system.brand == "dell"


def test_first_of_two_sections_of_one_name_counts(make_probe: MakeProbe) -> None:
    second = f"%begin {WORD} uname\nLinux evil 1 x\n%end {WORD} uname 0\n%done"

    hardware = parse_probe(make_probe().replace("%done", second))

    assert hardware.hostname == "box"


def test_megabyte_line_is_cut(make_probe: MakeProbe) -> None:
    long = "A" * 1_000_000

    hardware = parse_probe(
        make_probe(
            uname=[f"Linux box {long[:9000]} {long[:9000]}"],
            os=[f"/etc/os-release:ID={long}"],
            dmi=[f"/sys/class/dmi/id/product_name:{long}"],
            cpu=[f"model name : {long}", "processors : 1"],
            lsblk=[f'KNAME="{long}" SIZE="{long}"'],
        )
    )

    assert max(len(text) for text in find_strings(to_json(hardware))) <= MAX_TEXT


def test_control_characters_are_gone(make_probe: MakeProbe) -> None:
    hardware = parse_probe(
        make_probe(dmi=["/sys/class/dmi/id/product_name:R\x1b[2J\x00\x07\x9b\u202e\ud8006\x7f40"])
    )

    assert hardware.system.product == "R[2J640"


@pytest.mark.parametrize("name", ["{{lookup('pipe','id')}}", "$(reboot)", "-rf", "a;b"])
def test_hostname_that_cannot_be_one_is_empty(name: str, make_probe: MakeProbe) -> None:
    hardware = parse_probe(make_probe(uname=[f"Linux {name} 6.1.0 x86_64"]))

    assert hardware.hostname == ""


def test_devices_that_stand_on_each_other_in_a_circle_do_no_harm(make_probe: MakeProbe) -> None:
    block = ["dm-0/slave:dm-1", "dm-1/slave:dm-0", "dm-0/dev:253:0", "dm-0/size:1", "dm-1/size:1"]

    hardware = parse_probe(make_probe(block=block, mounts=["1 0 253:0 / / rw - ext4 /dev/x rw"]))

    assert hardware.disks == ()


def test_thousands_of_entries_are_parsed_quickly_and_capped(make_probe: MakeProbe) -> None:
    block = [f"dm-{i}/slave:dm-{i + 1}" for i in range(20_000)]
    block += [f"sd{i}/size:2097152" for i in range(20_000)]
    link = [f"{i}: eth{i}: <UP> mtu 1\\    link/ether 52:54:00:00:00:01 brd" for i in range(20_000)]

    hardware = parse_probe(make_probe(block=block, link=link))

    assert len(hardware.disks) <= 1024
    assert len(hardware.networks) <= 1024


JUNK = st.one_of(
    st.text(max_size=40),
    st.sampled_from(
        ["\n", ":", "/", '"', "\\", " - ", "%end", "0", "-1", "9" * 30, "\u202e", "\x00", "@", "\t"]
    ),
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    text=st.sampled_from(TEXTS),
    edits=st.lists(
        st.tuples(
            st.floats(min_value=0, max_value=1), st.integers(min_value=0, max_value=60), JUNK
        ),
        max_size=12,
    ),
)
def test_mutated_recording_is_parsed_or_refused(
    text: str, edits: list[tuple[float, int, str]]
) -> None:
    for place, removed, junk in edits:
        at = int(place * len(text))
        text = text[:at] + junk + text[at + removed :]

    hardware = parse_or_refuse(text)

    if hardware is not None:
        strings = find_strings(to_json(hardware))
        assert all(len(text) <= MAX_TEXT and text.isprintable() for text in strings)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(text=st.sampled_from(TEXTS), data=st.data())
def test_recording_with_shuffled_words_is_parsed_or_refused(text: str, data: st.DataObject) -> None:
    lines = text.split("\n")
    numbers = st.integers(min_value=0, max_value=len(lines) - 1)
    for _ in range(data.draw(st.integers(min_value=1, max_value=20))):
        at, other = data.draw(numbers), data.draw(numbers)
        if not lines[at].startswith("%"):
            words = re.split(r"([\s:/=])", lines[at])
            words[data.draw(st.integers(0, len(words) - 1))] = data.draw(JUNK)
            lines[at] = data.draw(st.sampled_from(["".join(words), lines[other], ""]))

    parse_or_refuse("\n".join(lines))

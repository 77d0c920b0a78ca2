"""Sets of addresses as a few numbers."""

import tracemalloc

from api.bmc.stretches import Stretches, number_of, span


def test_overlapping_and_neighbouring_ranges_have_each_address_once() -> None:
    spans = [("127.0.0.4", "127.0.0.9"), ("127.0.0.1", "127.0.0.5"), ("127.0.0.10", "127.0.0.10")]

    asked = Stretches([span(*ends, 623) for ends in spans], [])

    assert [asked.address(place)[0] for place in range(len(asked))] == [
        f"127.0.0.{last}" for last in range(1, 11)
    ]


def test_every_address_finds_its_place_and_no_other_has_one() -> None:
    asked = Stretches(
        [
            span("127.0.0.1", "127.0.0.2", 623),
            span("127.0.0.2", "127.0.0.2", 624),
            span("::1", "::3", 623),
            span("127.0.9.1", "127.0.9.2", 623),
        ],
        [],
    )

    for place in range(len(asked)):
        address, port = asked.address(place)
        assert asked.place(6 if ":" in address else 4, port, number_of(address)) == place
    assert len(asked) == 8
    for version, port, address in (
        (4, 623, "127.0.0.0"),
        (4, 623, "127.0.0.3"),
        (4, 624, "127.0.0.1"),
        (4, 623, "127.0.9.3"),
        (6, 623, "::4"),
        (6, 624, "::1"),
    ):
        assert asked.place(version, port, number_of(address)) is None


def test_a_million_addresses_take_no_room() -> None:
    tracemalloc.start()
    asked = Stretches([span("10.0.0.0", "10.15.255.255", 623)], [])
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert len(asked) == 2**20
    assert most < 10_000

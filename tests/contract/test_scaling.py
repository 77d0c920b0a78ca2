"""The plans for many machines: what the simulation does, and that the page says what it makes of the figures."""

from dataclasses import replace

import pytest

from bench.report import DOCUMENT
from bench.scaling import PLANS, Measured, costs_of, pages
from bench.simulation import Costs, Course, Hardware, Plan, alone, simulate

COSTS = Costs(
    start=2,
    machine=0.1,
    own=15,
    boots=100,
    boot_looks=5,
    run_looks=3,
    writes=1000,
    looks=5000,
    idle_looks=20,
    worker_looks=10,
    zone_looks=8,
)
PLAN = Plan(1000, zones=2, link=10, concurrency=4, at_once=1000)


def run(plan: Plan, costs: Costs = COSTS, hardware: Hardware | None = None) -> Course:
    return simulate(plan, costs, hardware or Hardware())


def test_one_machine_takes_what_its_parts_take() -> None:
    hardware = Hardware()
    waits = 2 * hardware.self_test + hardware.ramdisk_start + hardware.system_start + COSTS.own
    loads = hardware.ramdisk / hardware.card + hardware.image / hardware.intake
    assert alone(COSTS, hardware) == pytest.approx(COSTS.start + waits + loads, abs=6)


def test_every_byte_of_an_image_goes_over_the_links_and_no_faster_than_they_are() -> None:
    course = run(PLAN)
    assert sum(course.megabytes) == pytest.approx(1000 * (500 + 98))
    assert max(course.megabytes) <= 2 * 10_000 / 8


def test_every_machine_is_installed_once() -> None:
    for plan in (Plan(1), Plan(201), PLAN, replace(PLAN, machines=999, slice_nodes=7)):
        assert run(plan).installed[-1] == plan.machines


@pytest.mark.parametrize(
    "scarce", [{"link": 1.0}, {"concurrency": 1}, {"at_once": 200}, {"slice_nodes": 20}]
)
def test_less_of_anything_that_is_scarce_takes_longer(scarce: dict[str, float]) -> None:
    assert run(replace(PLAN, **scarce)).seconds > run(PLAN).seconds  # type: ignore[arg-type]


def test_no_more_machines_are_installed_at_a_time_than_the_limit_allows() -> None:
    rounds = 1000 / 200
    one = run(replace(PLAN, machines=200, zones=1)).seconds
    assert run(replace(PLAN, zones=1, at_once=200)).seconds == pytest.approx(rounds * one, rel=0.01)


def test_what_was_used_up_is_named() -> None:
    assert run(replace(PLAN, link=0.1)).slowest == "link"
    assert run(PLAN, replace(COSTS, boots=0.5)).slowest == "answers"
    assert run(PLAN, replace(COSTS, machine=20)).slowest == "processor"


def test_the_page_and_its_pictures_are_what_the_measurements_make() -> None:
    for path, text in pages().items():
        assert path.read_text() == text, f"python -m bench.scaling writes {path.name} again"


def test_a_figure_that_nobody_measured_is_missed() -> None:
    text = DOCUMENT.read_text().replace("leases renewed", "leases forgotten")
    with pytest.raises(SystemExit, match="leases renewed"):
        costs_of(Measured(text))


def test_plans_are_for_the_machines_they_are_named_for() -> None:
    assert {name: f"{plan.machines:,}" for name, plan in PLANS.items()} == {
        name: name for name in PLANS
    }

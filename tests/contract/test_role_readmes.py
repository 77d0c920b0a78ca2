"""Roles say what they are, and their READMEs cannot drift from what they say."""

import subprocess
import sys
from pathlib import Path

import yaml  # type: ignore[import-untyped]  # no stubs

from api.states import STEPS, JobAction

REPOSITORY = Path(__file__).parents[2]
ROLES = sorted(path for path in (REPOSITORY / "roles").iterdir() if path.is_dir())


def test_readmes_are_as_the_roles_say() -> None:
    done = subprocess.run(
        [sys.executable, REPOSITORY / "deploy/role-readmes", "--check"],
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stderr


def test_every_role_documents_exactly_its_variables() -> None:
    for role in ROLES:
        specs = yaml.safe_load((role / "meta/argument_specs.yml").read_text())
        defaults = yaml.safe_load((role / "defaults/main.yml").read_text())

        assert specs["argument_specs"]["main"]["options"].keys() == defaults.keys(), role.name


def test_roles_without_a_scenario_need_a_machine_that_boots() -> None:
    alone = {role.name for role in ROLES if (role / "molecule").is_dir()}
    in_chains = {*STEPS[JobAction.PROVISION_BM_NODES], *STEPS[JobAction.INSPECT_BM_NODES]}

    assert {role.name for role in ROLES} - alone == in_chains - {"node_probe", "node_record"}


def test_every_other_role_has_a_scenario_that_checks_converges_repeats_and_verifies() -> None:
    for role in (role for role in ROLES if (role / "molecule").is_dir()):
        scenario = yaml.safe_load((role / "molecule/default/molecule.yml").read_text())["scenario"]
        steps = [step for step in scenario["test_sequence"] if " " not in step]

        order = [steps.index(step) for step in ("check", "converge", "idempotence", "verify")]
        assert order == sorted(order), role.name
        assert steps[-1] == "destroy"

import re
from pathlib import Path

import pytest

from api.states import (
    ADVICE,
    BM_NODE_TRANSITIONS,
    FINISHED,
    NODE_TRANSITIONS,
    PLAYBOOKS,
    ROLE_ORDER,
    STEPS,
    UNREACHABLE_REASONS,
    BmNodeStatus,
    JobAction,
    NodeStatus,
    Reason,
    Role,
    step_status,
)

CONTENT = Path(__file__).parents[2]
ALLOWED = {
    ("pending", "collecting"),
    ("available", "collecting"),
    ("unreachable", "collecting"),
    ("collecting", "pending"),
    ("collecting", "available"),
    ("collecting", "unreachable"),
}


@pytest.mark.parametrize("old", NodeStatus)
@pytest.mark.parametrize("new", NodeStatus)
def test_nodes_move_by_the_transition_table_alone(old: NodeStatus, new: NodeStatus) -> None:
    assert (new in NODE_TRANSITIONS[old]) == ((old, new) in ALLOWED)


def test_a_new_node_reaches_every_status() -> None:
    reached = {NodeStatus.PENDING}
    for _ in NodeStatus:
        reached |= {new for old in reached for new in NODE_TRANSITIONS[old]}

    assert reached == set(NodeStatus)


BM_ALLOWED = {
    ("discovered", "new"),
    ("new", "provisioning"),
    ("provisioned", "provisioning"),
    ("failed", "provisioning"),
    ("provisioning", "new"),
    ("provisioning", "provisioned"),
    ("provisioning", "failed"),
}


@pytest.mark.parametrize("old", BmNodeStatus)
@pytest.mark.parametrize("new", BmNodeStatus)
def test_bare_machines_move_by_the_transition_table_alone(
    old: BmNodeStatus, new: BmNodeStatus
) -> None:
    assert (new in BM_NODE_TRANSITIONS[old]) == ((old, new) in BM_ALLOWED)


@pytest.mark.parametrize("action", JobAction)
def test_a_jobs_steps_are_its_playbooks_roles(action: JobAction) -> None:
    playbook = (CONTENT / "playbooks" / PLAYBOOKS[action]).read_text()

    assert tuple(re.findall(r"import_role:\s+name: (\w+)", playbook)) == STEPS[action]
    for name in STEPS[action]:
        assert (CONTENT / "roles" / name / "tasks" / "main.yml").is_file()


def test_a_running_job_is_never_called_finished() -> None:
    assert not {step_status(index) for index in range(100)} & FINISHED


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_comes_with_a_sentence_of_advice(reason: Reason) -> None:
    assert ADVICE[reason].endswith(".")
    assert len(reason) <= 32


def test_unreachable_is_what_ssh_says() -> None:
    assert Reason.SSH_REFUSED in UNREACHABLE_REASONS
    assert Reason.PROBE_INCOMPLETE not in UNREACHABLE_REASONS
    assert Reason.CANCELLED not in UNREACHABLE_REASONS


def test_each_role_may_more_than_the_one_before() -> None:
    assert sorted(Role, key=ROLE_ORDER.__getitem__) == [Role.VIEWER, Role.OPERATOR, Role.ADMIN]

"""Documentation of the action plugin of the same name."""

DOCUMENTATION = """
module: node_verify
short_description: Verify that installed systems are as asked, and record their hardware
description:
  - Logs in to each machine and compares hostname, release, addresses, bonds and VLANs with the
    registration; then records what hardware it has.
options:
  nodes:
    description: Inventory names of the machines, their node ids.
    type: list
    elements: str
    required: true
  deadline:
    description: Seconds a machine has to log us in and answer the probe.
    type: float
    default: 60
  at_once:
    description: Machines at the same time.
    type: int
    default: 32
author: Firstbox
"""

EXAMPLES = """
- name: Compare each system with what was asked, and record it
  node_verify:
    nodes: "{{ ansible_play_hosts }}"
  run_once: true
"""

RETURN = """
results:
  description: One entry per machine; a machine that fails, fails nothing but its entry.
  returned: always
  type: list
  elements: dict
  contains:
    node:
      description: Inventory name.
      type: str
    ok:
      description: Whether the machine did what was asked.
      type: bool
    reason:
      description: Empty, or one of os_differs, ssh_refused and others.
      type: str
    message:
      description: A sentence for the log.
      type: str
"""

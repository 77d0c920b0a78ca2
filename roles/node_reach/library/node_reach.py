"""Documentation of the action plugin of the same name."""

DOCUMENTATION = """
module: node_reach
short_description: Find out which nodes answer on their SSH port
description:
  - Connects to the SSH port of many nodes at once, from the controller, and reads the greeting.
  - Nobody logs in and nothing runs on the nodes.
options:
  nodes:
    description: Inventory names of the nodes.
    type: list
    elements: str
    required: true
  deadline:
    description: Seconds a node has to answer.
    type: float
    default: 10
  at_once:
    description: Nodes that are tried at the same time.
    type: int
    default: 256
author: Firstbox
"""

EXAMPLES = """
- name: Find out which nodes answer
  node_reach:
    nodes: "{{ ansible_play_hosts }}"
  run_once: true
"""

RETURN = """
results:
  description: One entry per node; a node that does not answer fails nothing but its entry.
  returned: always
  type: list
  elements: dict
  contains:
    node:
      description: Inventory name.
      type: str
    ok:
      description: Whether an SSH server greeted us.
      type: bool
    reason:
      description: Empty, or one of ssh_silent, ssh_closed, timeout.
      type: str
    message:
      description: A sentence for the log.
      type: str
"""

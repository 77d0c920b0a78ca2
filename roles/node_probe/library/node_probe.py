"""Documentation of the action plugin of the same name."""

DOCUMENTATION = """
module: node_probe
short_description: Ask nodes over SSH what hardware they are made of
description:
  - Logs in to many nodes at once, from one process on the controller, and feeds a probe to
    C(/bin/sh). The node needs a POSIX shell and nothing else; nothing is written there.
  - Host keys are recorded at first contact and held to afterwards, as the zone's policy says.
options:
  nodes:
    description: Inventory names of the nodes.
    type: list
    elements: str
    required: true
  dest:
    description: Directory on the controller; gets C(<node>.json) for every node that answered.
    type: path
    required: true
  deadline:
    description: Seconds a node has to let us in and answer.
    type: float
    default: 60
  at_once:
    description: Nodes that are asked at the same time.
    type: int
    default: 32
  runs:
    description: >-
      C(system) for the nodes' operating systems, as the inventory says how to reach them; C(ramdisk)
      for machines that said hello out of the ramdisk, where cards get half a minute more to hear
      switches.
    type: str
    choices: [system, ramdisk]
    default: system
author: Firstbox
"""

EXAMPLES = """
- name: Ask each node what it is made of
  node_probe:
    nodes: "{{ ansible_play_hosts }}"
    dest: /var/tmp/found
  run_once: true
"""

RETURN = """
results:
  description: One entry per node; a node that refuses us fails nothing but its entry.
  returned: always
  type: list
  elements: dict
  contains:
    node:
      description: Inventory name.
      type: str
    ok:
      description: Whether the node answered in full.
      type: bool
    reason:
      description: >-
        Empty, or one of ssh_silent, ssh_closed, ssh_refused, host_key_changed, host_key_unknown,
        probe_incomplete, ramdisk_silent, timeout.
      type: str
    message:
      description: A sentence for the log.
      type: str
"""

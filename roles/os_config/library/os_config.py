"""Documentation of the action plugin of the same name."""

DOCUMENTATION = """
module: os_config
short_description: Tell each installed system its name, networks and keys
description:
  - Adds a small partition with cloud-init's NoCloud files to the disk that was written: instance
    id, hostname, keys, static addresses, bonds and VLANs.
options:
  nodes:
    description: Inventory names of the machines, their node ids.
    type: list
    elements: str
    required: true
  deadline:
    description: Seconds to write the files.
    type: float
    default: 120
  at_once:
    description: Machines at the same time.
    type: int
    default: 64
author: Firstbox
"""

EXAMPLES = """
- name: Write cloud-init's files to the disk of each machine
  os_config:
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
      description: Empty, or one of nic_missing, disk_faulty and others.
      type: str
    message:
      description: A sentence for the log.
      type: str
"""

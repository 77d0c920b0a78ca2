"""Documentation of the action plugin of the same name."""

DOCUMENTATION = """
module: disk_boot
short_description: Boot machines from their disks and wait for their systems
description:
  - Answers the machines' network boots no more, waits until those with an installer have switched
    themselves off, sets the disk as boot device, switches them on (or cycles them), and
    waits until SSH answers at the address that was asked, with the instance id of this
    installation.
options:
  nodes:
    description: Inventory names of the machines, their node ids.
    type: list
    elements: str
    required: true
  booting:
    description: Machines that boot from their disks already, and are only waited for.
    type: list
    elements: str
    default: []
  deadline:
    description: Seconds a machine has from power-on to its system's SSH server.
    type: float
    default: 900
author: Firstbox
"""

EXAMPLES = """
- name: Boot each machine from its disk and wait for its system
  disk_boot:
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
      description: Empty, or one of boots_network_again, os_silent, ssh_refused and others.
      type: str
    message:
      description: A sentence for the log.
      type: str
"""

"""Documentation of the action plugin of the same name."""

DOCUMENTATION = """
module: ramdisk_end
short_description: Let machines leave the ramdisk
description:
  - Answers the machines' network boots no more. One that runs an operating system otherwise boots from
    its disk again; every other is switched off.
  - The order goes to the BMC, which is asked until it is true; to the ramdisk itself where nobody can
    log in to a BMC.
  - Machines that this run did not boot are left as they are.
options:
  nodes:
    description: Node ids of machines that did all they were asked before.
    type: list
    elements: str
    required: true
  others:
    description: Machines that failed before; what becomes of them stands in the log, and in no result.
    type: list
    elements: str
    default: []
author: Firstbox
"""

EXAMPLES = """
- name: Let each machine leave the ramdisk
  ramdisk_end:
    nodes: "{{ ansible_play_hosts }}"
  run_once: true
"""

RETURN = """
results:
  description: One entry per machine of C(nodes); a machine that fails, fails nothing but its entry.
  returned: always
  type: list
  elements: dict
  contains:
    node:
      description: Inventory name.
      type: str
    ok:
      description: Whether the machine is off, or boots from its disk.
      type: bool
    reason:
      description: Empty, or one of power_unchanged, bmc_silent and others.
      type: str
    message:
      description: A sentence for the log.
      type: str
"""

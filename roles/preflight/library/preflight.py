"""Documentation of the action plugin of the same name."""

DOCUMENTATION = """
module: preflight
short_description: Check that machines can be installed, and touch nothing
description:
  - Looks at the registration, the image and the ramdisk, and logs in to each machine's BMC, many
    at once.
options:
  nodes:
    description: Inventory names of the machines, their node ids.
    type: list
    elements: str
    required: true
author: Firstbox
"""

EXAMPLES = """
- name: Check registration, images and BMC of each machine
  preflight:
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
      description: Empty, or one of bmc_silent, bmc_login_refused, no_image, protected and others.
      type: str
    message:
      description: A sentence for the log.
      type: str
"""

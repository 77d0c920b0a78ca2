"""Documentation of the action plugin of the same name."""

DOCUMENTATION = """
module: bmc_user
short_description: Find the BMCs of machines from inside, and make a user for us there
description:
  - Asks each machine's BMC over its own in-band interface, from the ramdisk, for address and MAC, and
    writes them into the registration where nobody told; what is registered stays.
  - Where the setting C(FIRSTBOX_DISCOVERY_BMC_USER) allows it, makes a user C(firstbox) with a random password in BMCs that let nobody in whom we
    know, tries it over LAN, and keeps the password sealed. It is shown nowhere.
  - A machine without a BMC is no failure.
options:
  nodes:
    description: Node ids of machines that run the ramdisk.
    type: list
    elements: str
    required: true
  deadline:
    description: Seconds a machine has to answer each of two scripts.
    type: float
    default: 60
  at_once:
    description: Machines that are asked at the same time.
    type: int
    default: 64
author: Firstbox
"""

EXAMPLES = """
- name: Find the way to each machine's BMC
  bmc_user:
    nodes: "{{ node_probe_answered }}"
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
      description: Whether the BMC was found, or there is none, and lets us in where it was to.
      type: bool
    reason:
      description: Empty, or one of scan_conflict, bmc_not_in_band, bmc_refused, bmc_login_refused, bmc_silent and others.
      type: str
    message:
      description: A sentence for the log.
      type: str
"""

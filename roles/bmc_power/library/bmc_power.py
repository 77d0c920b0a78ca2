"""Documentation of the action plugin of the same name."""

DOCUMENTATION = """
module: bmc_power
short_description: Switch machines on and off by their BMCs
description:
  - Talks to the BMCs of many machines at once, from the controller, over IPMI or Redfish; each has
    its own deadline and its own result.
  - After an order the power state is read back until it is true. What was read is recorded.
  - Addresses and passwords of the BMCs come from the node database and appear nowhere.
  - The database is the one that C(FIRSTBOX_HOME) or C(FIRSTBOX_DATABASE_URL) names.
  - In check mode the power state is read, and no order given.
options:
  nodes:
    description: Node ids.
    type: list
    elements: str
    required: true
  state:
    description:
      - V(on) and V(off) leave a machine alone that is so already; V(soft) asks the operating system
        to shut down; V(cycle) takes the power away and gives it back, or gives it to a machine that
        is off; V(status) only reads.
    type: str
    choices: ["on", "off", soft, cycle, status]
    default: status
  boot_device:
    description:
      - With V(cycle), what the machine boots from. V(network) is for this boot, in the boot mode it is
        registered with; V(disk) is for this and all further ones; empty changes nothing.
    type: str
    choices: ["", network, disk]
    default: ""
  deadline:
    description:
      - Seconds a machine has to be on or off once its BMC agreed; C(FIRSTBOX_POWER_DEADLINE) without it.
    type: float
  soft_deadline:
    description:
      - Seconds an operating system has to shut down; C(FIRSTBOX_SOFT_OFF_DEADLINE) without it.
    type: float
  then_hard:
    description: Take the power away from machines that did not shut down in time.
    type: bool
    default: false
author: Firstbox
"""

EXAMPLES = """
- name: Switch machines on
  bmc_power:
    nodes: "{{ ansible_play_hosts }}"
    state: "on"
  run_once: true
"""

RETURN = """
results:
  description: One entry per node; a BMC's trouble fails nothing but its entry.
  returned: always
  type: list
  elements: dict
  contains:
    node:
      description: Node id.
      type: str
    ok:
      description: Whether it is as asked.
      type: bool
    reason:
      description: >-
        Empty, or one of bmc_silent, bmc_login_refused, bmc_no_cipher, bmc_busy, bmc_refused,
        power_unchanged, boot_device_ignored, record_refused.
      type: str
    message:
      description: A sentence for the log.
      type: str
    power:
      description: V(on), V(off), or empty when it was not read.
      type: str
"""

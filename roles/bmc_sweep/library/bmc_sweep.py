"""Documentation of the action plugin of the same name."""

DOCUMENTATION = """
module: bmc_sweep
short_description: Find out who answers as a BMC
description:
  - Asks very many addresses from the controller, over IPMI and Redfish, whether a BMC is there; nobody
    logs in.
  - What to ask comes from the job's options, from an operator's file, or from the registrations of
    machines.
  - How far it is stands in the log of the job, if there is one.
options:
  request:
    description: Path of a file with the fields of ScanBMNodes; empty under a job.
    type: str
    default: ""
  nodes:
    description: Node ids of registered machines whose BMCs are looked for, in place of ranges.
    type: list
    elements: str
    default: []
  directory:
    description: Directory where C(swept.json) is written.
    type: path
    required: true
  silence:
    description:
      - Seconds to wait for answers each time everybody was asked; C(FIRSTBOX_SWEEP_SILENCE) without it.
    type: float
author: Firstbox
"""

EXAMPLES = """
- name: Find BMCs
  bmc_sweep:
    request: /etc/firstbox/rack1.yml
    directory: /tmp/scan
  run_once: true
"""

RETURN = """
results:
  description: One entry per address that answers, and per registered machine.
  returned: always
  type: list
  elements: dict
  contains:
    address:
      description: Of the BMC.
      type: str
    node:
      description: Node id of a registered machine, else empty.
      type: str
    ok:
      description: Whether it answers.
      type: bool
    reason:
      description: Empty, or one of bmc_silent, record_refused.
      type: str
    message:
      description: A sentence for the log.
      type: str
"""

"""Documentation of the action plugin of the same name."""

DOCUMENTATION = """
module: bmc_identify
short_description: Ask BMCs what machines they belong to
description:
  - Logs in to many BMCs at once, from the controller, over IPMI or Redfish, and reads who made the
    machine, its serial number, power state and network cards, as far as each tells.
  - Logins are tried one at a time at each BMC. A refused one is not tried again for a while, and after
    a few refusals the BMC is left alone; both are counted across all scans and jobs.
  - Users and passwords come from the job's options, an operator's file, or the node database, and
    appear nowhere.
  - Power states of registered machines are recorded, but in check mode and in a dry run.
options:
  request:
    description: Path of a file with the fields of ScanBMNodes; empty under a job.
    type: str
    default: ""
  nodes:
    description: Node ids of registered machines that may be scanned again.
    type: list
    elements: str
    default: []
  addresses:
    description: Which of the addresses in C(swept.json) to ask.
    type: list
    elements: str
    required: true
  directory:
    description: Directory with C(swept.json); C(identified.json) is written there.
    type: path
    required: true
  append:
    description: Whether C(identified.json) is continued, rather than begun anew.
    type: bool
    default: false
author: Firstbox
"""

EXAMPLES = """
- name: Ask two BMCs that were found
  bmc_identify:
    request: /etc/firstbox/rack1.yml
    addresses: [10.0.0.11, 10.0.0.12]
    directory: /tmp/scan
  run_once: true
"""

RETURN = """
results:
  description: One entry per BMC; its trouble fails nothing but its entry.
  returned: always
  type: list
  elements: dict
  contains:
    address:
      description: Of the BMC.
      type: str
    node:
      description: Node id of a registered machine that is scanned again, else empty.
      type: str
    ok:
      description: Whether it said what machine it belongs to, or nobody had a login for it.
      type: bool
    reason:
      description: >-
        Empty, or one of bmc_silent, bmc_login_refused, bmc_logins_spent, bmc_no_cipher, bmc_busy,
        bmc_refused.
      type: str
    message:
      description: A sentence for the log.
      type: str
    credential:
      description: Name of the login that let us in.
      type: str
"""

"""Documentation of the action plugin of the same name."""

DOCUMENTATION = """
module: ramdisk_boot
short_description: Boot machines over the network, into the ramdisk or an installer
description:
  - Opens a network boot for each machine, sets its one-time boot device through the BMC, switches
    it on or cycles it, and waits for the hello of what it boots.
  - A machine that does not come gets a verdict that says where the chain broke. One that runs the
    ramdisk of this run, or even the system of its installation, is left alone.
  - To be inspected, machines boot the ramdisk and get no image; one that discovery booted into it is
    left alone.
options:
  nodes:
    description: Inventory names of the machines, their node ids.
    type: list
    elements: str
    required: true
  purpose:
    description: What the machines are booted for.
    type: str
    choices: [install, inspect]
    default: install
  interrupt:
    description: Whether an inspection may shut down machines that run an operating system.
    type: bool
    default: false
  deadline:
    description: Seconds a machine has from power-on to its hello.
    type: float
    default: 900
author: Firstbox
"""

EXAMPLES = """
- name: Boot each machine over the network and wait for its hello
  ramdisk_boot:
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
      description: Empty, or one of no_dhcp_request, no_boot_loader, no_boot_script, ramdisk_silent, wrong_machine and others.
      type: str
    message:
      description: A sentence for the log.
      type: str
    is_booting:
      description: Whether an earlier attempt has sent the machine to boot from its disk.
      type: bool
    is_installed:
      description: Whether the machine runs the system of this installation already.
      type: bool
"""

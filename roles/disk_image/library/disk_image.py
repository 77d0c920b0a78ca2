"""Documentation of the action plugin of the same name."""

DOCUMENTATION = """
module: disk_image
short_description: Write each machine's image to its disk
description:
  - Chooses the disk, guards it (data that Firstbox did not put there stays, unless told to
    erase), and streams the image to it from the ramdisk, each piece verified before it is
    written.
  - Pieces that are on the disk already, after an interruption, are not written again. Machines
    that a distribution's own installer installs are waited for.
options:
  nodes:
    description: Inventory names of the machines, their node ids.
    type: list
    elements: str
    required: true
  deadline:
    description: Seconds to write an image.
    type: float
    default: 1800
  installer_deadline:
    description: Seconds a distribution's own installer may take.
    type: float
    default: 5400
  erase:
    description: Whether to overwrite data that Firstbox did not put there.
    type: bool
    default: false
  at_once:
    description: Machines that write at the same time.
    type: int
    default: 64
  stall:
    description: Seconds without data after which the image server counts as standing still.
    type: int
    default: 30
author: Firstbox
"""

EXAMPLES = """
- name: Choose, guard and write the disk of each machine
  disk_image:
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
      description: Empty, or one of disk_missing, disk_has_data, image_checksum, image_stalled, disk_faulty and others.
      type: str
    message:
      description: A sentence for the log.
      type: str
"""

"""What can go wrong while a lab is made."""


class LabError(Exception):
    """The lab could not be made; the message says which part and why."""

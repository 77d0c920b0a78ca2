"""Scripts for the ramdisk: what goes in front of them, and what they say at their end."""

import shlex

# Control characters of a machine's text would reach logs and terminals.
_MOST = 300


def assignments(**values: str | int) -> str:
    """Shell variables, one a line, that no value can break out of."""
    return "".join(f"{name}={shlex.quote(str(value))}\n" for name, value in values.items())


def verdict_of(output: str) -> dict[str, str]:
    """Lines such as `%disk_faulty /dev/sda can only be read`: word -> the rest of the line."""
    found = {}
    for line in output.splitlines():
        if line.startswith("%"):
            word, _, text = line[1:].partition(" ")
            found[word] = "".join(c if c.isprintable() else "?" for c in text.strip())[:_MOST]
    return found

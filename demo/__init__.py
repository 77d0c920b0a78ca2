"""`make demo`: the whole way on one machine, from six machines' addresses to their hardware."""


class DemoError(Exception):
    """The demo cannot go on; the message says why and what to do."""

"""What a machine consists of, read from the output of probe.sh: pure functions, no I/O."""

"""The tests of Firstbox."""

"""Tests against real hosts, a real database and the real runner."""

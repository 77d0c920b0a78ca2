"""Firstbox: finds, installs and takes stock of the machines of a private cloud."""

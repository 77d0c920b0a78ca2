"""Talking to BMCs: IPMI and Redfish, many at once, each with a deadline of its own."""

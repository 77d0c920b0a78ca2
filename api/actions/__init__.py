"""The wire: the table of all actions, and the models above each handler."""

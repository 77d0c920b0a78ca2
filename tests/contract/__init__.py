"""What is promised to those who call: names, shapes, refusals, tables."""

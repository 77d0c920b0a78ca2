"""What may happen and what it means: plain functions over rows."""

"""Many nodes at once over SSH, from one process: is it there, and what does it answer."""

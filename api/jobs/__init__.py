"""Jobs at work: the queue, the worker, and the runs it starts."""

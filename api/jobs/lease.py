"""How long a run may hold a job without a word, in seconds; the three must stay in this order."""

RENEW = 5.0  # between two renewals
SILENCE = 18.0  # the guard ends a run whose worker renewed nothing for this long
LEASE = 30.0  # after this another worker may take the job

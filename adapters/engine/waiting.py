"""Names under which the site database keeps what a delivering run waits with."""

WAITING = "delivering:"
"""+ run id: the run's result as JSON, from which its delivery goes on."""
LEASE = "delivery-lease:"
"""+ run id: until when a round of delivery belongs to one executor."""

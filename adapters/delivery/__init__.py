"""Delivery: a run's documents to every target, each read back (*sent → stored → verified*).

    delivery.py   SiteDelivery: what is due is attempted, and the state of each kept
    states.py     which state may follow which
    backoff.py    when a target is tried again, and for how long
    breaker.py    when a target that is away is left in peace
    target.py     what a target is; pacs.py, dimse.py, folder.py, fhir.py are targets

Read next: `target.py`.
"""

from adapters.delivery.delivery import SiteDelivery
from adapters.delivery.target import Found, Sent, Target

__all__ = ["Found", "Sent", "SiteDelivery", "Target"]

"""DIMSE: the services of PS3.4 and PS3.7 for a site without a web interface.

Read next: `pacs.py`.
"""

from adapters.dimse.pacs import DimsePacs
from adapters.dimse.peer import Peer

__all__ = ["DimsePacs", "Peer"]

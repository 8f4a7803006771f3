"""Windows and doors: the only room that touches the outside.

Read `compose.py` first (what a site consists of), then `config.py`, then the door you
care about: `pacs.py` (the port of every picture archive), `fhir/`, `delivery/`, `rt/`.
"""

"""The hall: what a plugin is, and the path of a study through one.

Read `pipeline.py` first: it alone knows the order of the eight steps.  Then
`protocol.py` (what a plugin author writes) and `ports.py` (what the hall needs from
outside).  `HOST_API` is the version of the interface that a release names.
"""

HOST_API = 1

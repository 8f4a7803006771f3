"""Orthanc as a PACS, through its own REST interface.

Read next: `pacs.py`.
"""

from adapters.orthanc.pacs import OrthancPacs

__all__ = ["OrthancPacs"]

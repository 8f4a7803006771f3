"""Any DICOMweb server as a PACS: QIDO-RS, WADO-RS, STOW-RS (PS3.18).

Read next: `pacs.py`.
"""

from adapters.dicomweb.pacs import DicomwebPacs

__all__ = ["DicomwebPacs"]

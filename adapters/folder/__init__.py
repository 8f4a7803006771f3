"""The embedded PACS: a folder of Part 10 files with its own index.

Read next: `pacs.py`.
"""

from adapters.folder.pacs import FolderPacs

__all__ = ["FolderPacs"]

"""Evidence packs: the record and the office, by article, in one signed file."""

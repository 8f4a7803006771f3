"""The smallest plugin that is real; read `plugin.py` and `docs/write-a-plugin.md`."""

"""What others say about our checkpoints: witnesses, time-stamp authorities, anchors.

Read next: `forwarding.py`.
"""

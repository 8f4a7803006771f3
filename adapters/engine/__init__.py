"""The work engine: when things happen, and that they happen once.

Read `schedule.py` (the one table of periodic work), `feed.py` (from arrival to a queued
run), `execution.py` (one attempt at a run), then `engine.py` (DBOS, which remembers the
order of steps across a crash).
"""

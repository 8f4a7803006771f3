"""The witness as a program of its own, and the site's client of it.

Read next: `server.py`, `client.py`.
"""

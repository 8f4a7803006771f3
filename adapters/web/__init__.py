"""The pages: server-rendered, readable without script, one shell for all.

Read `access.py` (which role may open which route), `app.py` (the routes), `pages.py` (one
dataclass context for each page), `texts.py` (German and English).
"""

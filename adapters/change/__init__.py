"""Change control at a site: files read, releases compared, decisions kept and recorded.

Read `evidence.py` (what a person brings), `standing.py` (what the site knows), then
`acts.py` and `origins.py`.
"""

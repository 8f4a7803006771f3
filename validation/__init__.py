"""The examining room: phantoms, cohorts, metrics, harness, benchmarks.

Read `phantoms/limb.py` (a patient whose geometry is known exactly) and
`benchmarks/README.md` (what is measured beside which peer).
"""

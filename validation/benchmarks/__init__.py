"""Benchmarks: speed as a ratio against a named peer in the same run, agreement beside it.

Subjects that live in adapters are passed in as callables (`adapters/bench.py`); those of
models alone are programs of their own.

Read next: `overhead.py`.
"""

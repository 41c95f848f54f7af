"""Benchmarks: the time, memory and answers of glimm beside other packages. Start with README.md; run with `python -m benchmarks.run`."""

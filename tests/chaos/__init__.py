"""The chaos campaign: a whole installation, faults from a seed, and a checker that shares no code with the product.

`python -m tests.chaos --documents 300 --faults 30 --seed 1`; docs/reliability.md tells what it does and shows.
"""

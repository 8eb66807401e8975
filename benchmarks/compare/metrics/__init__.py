"""The figures of a comparison, one metric a file.

A metric is one `Metric` in a file here and one line in registry.py. It says its key in a summary, how it is measured
from an arm's answers, which way each of its figures is better, where the report shows them, and what they mean. The
mathematics stand apart in formulas.py.
"""

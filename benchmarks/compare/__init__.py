"""`unrecall compare`: guardrail unlearning against weight-based unlearning on public suites.

The way of a suite's row to the report: suites/ gives an `Item` (benchmarks.items), replies.py puts it to an arm and
gives a `Reply` (core.py), store.py keeps it, metrics/ measures, run.py writes results.json, report/ reads that.
Arms become askable in models.py (baselines), guardrails.py and tuning.py (weights).
"""

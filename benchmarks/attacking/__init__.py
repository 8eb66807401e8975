"""`unrecall attack`: every attack family through a real gateway, beside models that have no gateway.

questions.py reads what is asked, sides.py asks, answers.py keeps what was said, measures.py counts, run.py is the order
of it all, and report.py writes it down. The adaptive attackers have a file each: evolution, sampling, turn_after and
suffix.
"""

"""`make bench`: measures the product in parts, one file a part; table.py prints the results."""

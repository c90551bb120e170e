"""Jobs on a Ray cluster. Only `driver.py`, a program of its own, imports Ray."""

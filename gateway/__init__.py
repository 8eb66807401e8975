"""The server: one path for every prompt, from the wire through the gate to a backend and back."""

import os

# Before torch is loaded: its idle threads spin by default, and wherever two pools of them share the cores (the gate
# beside a generation, a server beside a trainer) each waits for the other; measured, tenfold slower on two cores.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

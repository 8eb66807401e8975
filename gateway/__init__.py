"""The server: one path for every prompt, from the wire through the gate to a backend and back."""

"""Whole boards: a network behind a serial line, a processor or FIFOs, and the host's end of the line."""

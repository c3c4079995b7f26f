"""Lookup tables, flip-flops, multipliers, memories and the clock of a plan before any tool has run.

Structure is counted, not guessed: :mod:`~rtl4ml.planning.estimates.datapaths` counts words, and
:mod:`~rtl4ml.planning.estimates.hardware` what stands around them, in the hardware as it would be exported.
:mod:`~rtl4ml.planning.estimates.families` says what each primitive becomes on a device, by the rules of Yosys.
"""

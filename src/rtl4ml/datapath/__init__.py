"""Words: combinational arithmetic with exact ranges, evaluated in NumPy, cut into steps and written as hardware."""

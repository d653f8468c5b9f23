"""Timings beside other libraries; each module says how to run it."""

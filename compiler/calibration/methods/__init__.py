"""The rules by which vendors turn what a value looks like into a range, a scale or a binary position.

Every rule is a pure function of a summary: of extremes, of a histogram, or of weighted numbers. A summary comes from samples,
batch by batch (`Summary.including`), or without any from the moments of batch norm (`calibration/modelled.py`).
"""

"""Features as of a decision time: one transform a file, each pure, over arrays.

Every feature looks only at what happened strictly before the decision time. `predictor.features.matrix` puts them
together; training and scoring call the same function. The hour of day is no feature: machines are not read by the clock
that their failures were entered by.
"""

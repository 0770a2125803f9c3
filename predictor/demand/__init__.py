"""How many pieces of a part will be wanted: predictive distributions of intermittent demand.

Every method is one file and gives, for the next month of each series, the probability of 0, 1, 2, … pieces. Histories
are arrays of shape (series, months); NaN is a month in which the part was not sold, which is not a demand of zero.
"""

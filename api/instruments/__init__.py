"""Tools and instruments: lent and given back, calibrated, and not lent when they are not."""

"""Parts taken out of machines: which are due back, in which parcel they come, and what they turn out to be."""

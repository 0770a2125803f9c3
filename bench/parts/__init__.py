"""The parts network, measured: a single answer, the plan of all demand, and the last piece wanted by many."""

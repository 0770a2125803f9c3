"""Every process of the line killed at random instants under load, and the readings counted afterwards."""

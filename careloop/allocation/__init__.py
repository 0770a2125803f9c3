"""Where parts come from: the model that the desk's single answer and the nightly plan of all demand share."""

"""Where the parts come from that cases and jobs need: the options, what each costs, and the answer with its reasons."""

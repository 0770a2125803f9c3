"""What falls due without a call: clocks that trip, spans that end, questions to be asked."""

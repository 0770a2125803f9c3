"""What machines said: charts, events, and the latest values of a fleet. Reads only; ingest is the writer."""

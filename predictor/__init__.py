"""The predictor: telemetry and history to features, models, decisions and tickets."""

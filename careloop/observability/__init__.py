"""What a process shows of itself: metrics, whether it lives, whether it is ready. Needs the standard library only.

`metrics` alone needs prometheus-client, which the edge agent does without.
"""

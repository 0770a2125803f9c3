"""The ground floor of careloop: what two or more services share, and nothing else."""

__version__ = "0.1.0"

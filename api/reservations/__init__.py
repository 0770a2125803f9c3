"""Parts kept for jobs and cases."""

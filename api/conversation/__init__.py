"""What is said with the customer in a case, and noted among those who work on it."""

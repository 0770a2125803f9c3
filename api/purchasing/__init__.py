"""What is bought from suppliers, and to whom pieces still to come are promised."""

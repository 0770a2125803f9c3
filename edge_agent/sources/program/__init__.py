"""What a program prints."""

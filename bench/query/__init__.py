"""How fast a long record is read, and how many bytes a reading takes."""

"""The formats that machines speak, each read into the same reading. Nothing here asks a database or a clock."""

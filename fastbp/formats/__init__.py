"""What is read and written: the package's own file, and C."""

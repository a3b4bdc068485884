"""What classifiers of texts stand on: reading a text as people see it, keeping texts, encoders, and the two families."""

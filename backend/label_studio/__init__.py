"""Everything that is Label Studio's: the port, the client behind it, the queue recipe, write-back and images."""

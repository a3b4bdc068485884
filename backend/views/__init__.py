"""State turned into numbers and sentences; nothing here writes."""

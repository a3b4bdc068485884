"""Who labelled how much, in how long, and how far people agree."""

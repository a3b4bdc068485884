"""How errors fall with labels, and how many there are in front of each cut: Eq. 3 of the paper."""

"""What certainty costs: the certificate as the engine draws it, in two bands, with peeling, and below them what nobody can do without."""

"""Pictures on their way to a net: decoded, kept at training size, and what is computed once per picture."""

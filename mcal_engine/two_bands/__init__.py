"""A certificate from a sample in two bands, and how its residual is peeled: rules alone, not the engine's default yet."""

"""A certificate from a sample in two bands, and how its residual is peeled: rules alone; :mod:`mcal_engine.peeling` decides by them."""

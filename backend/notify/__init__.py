"""Tells people what happened, over the channels that the operator named."""

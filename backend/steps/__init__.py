"""What the worker does: steps that may write and may ask Label Studio."""

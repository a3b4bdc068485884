"""The service around the engine: Label Studio on one side, the database and the job queue on the other.

Composition happens in ``backend.wiring`` only; importing this package does nothing.
"""

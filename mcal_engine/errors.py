"""The engine's errors. Each names the value and the rule it broke."""


class MCALError(Exception):
    """Base of every error that this project raises on purpose; its text is meant for the person at the screen."""


class InvalidValue(MCALError, ValueError):
    """A value that a caller gave breaks a rule; the text names both."""


class HistoryError(MCALError):
    """A history that cannot have happened: rows out of order or contradicting each other."""

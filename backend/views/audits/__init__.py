"""What people found when they looked at machine labels again: blind in audits, by eye in checks."""

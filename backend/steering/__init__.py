"""What an admin may do to a campaign."""

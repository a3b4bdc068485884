"""What a campaign is: its history, its state, its queues and its labels. Reads the store; only :mod:`~backend.campaign.commit` writes."""

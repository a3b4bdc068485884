"""What Label Studio says to an ML backend and what this one answers, without any web framework.

:class:`MLProtocol` is hosted by our own Flask app (``backend.web``) and by label-studio-ml (``backend.plugin``) alike.
"""

from backend.protocol.ml_protocol import MLProtocol
from backend.protocol.ports import CampaignStore, JobQueue, ParsedSettings, Predictions

__all__ = ["CampaignStore", "JobQueue", "MLProtocol", "ParsedSettings", "Predictions"]

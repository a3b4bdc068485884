"""The webhook that wakes us, registered with a secret, so that its events can be told from anybody's."""

from __future__ import annotations

from dataclasses import dataclass, field

from backend.label_studio.port import LabelStudioPort

SECRET_HEADER = "X-MCAL-Secret"  # noqa: S105 (its name; what carries it is trusted by the web server)


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where Label Studio is to send its events, and the secret that proves that they are its."""

    public_url: str
    secret: str = field(repr=False)

    def register(self, label_studio: LabelStudioPort, project_id: int) -> None:
        """Register it, in place of one that Label Studio made by itself and that carries no secret. Raises LabelStudioError."""
        label_studio.register_webhook(project_id, f"{self.public_url}/webhook", {SECRET_HEADER: self.secret})

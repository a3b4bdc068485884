"""The plugin class for label-studio-ml: another door to the protocol that our own server answers.

With label-studio-ml (1.0.9 from PyPI, or 2.x) as the host, its ``_wsgi.py`` is::

    from label_studio_ml.api import init_app
    from backend.plugin import MCALBackend, install

    app = install(init_app(MCALBackend), protocol, access)

``protocol`` and ``access`` come from ``backend.wiring``. Without ``install`` the 1.0.9 host ignores extra params, starts a process per
webhook and does not know START_TRAINING; the 2.x host would do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Self

from backend.plugin_base import initialise, plugin_base
from backend.web.ml_backend import override_routes
from mcal_engine.errors import MCALError

if TYPE_CHECKING:
    from backend.web.access import Access
    from backend.web.ml_backend import App
    from backend.web.ports import MLHandler

_Base: Any = plugin_base()


class NotConnected(MCALError):
    """The plugin class was used before anybody told it which protocol object answers."""


class MCALBackend(_Base):  # type: ignore[misc]  # which base it is depends on what is installed
    """One project's view of the protocol, with the signatures of label-studio-ml 1.0.9 and 2.x.

    1.0.9 makes ``MCALBackend(label_config=..., train_output=..., hostname=..., access_token=...)`` and knows no project; 2.x makes
    ``MCALBackend(project_id, label_config)``.
    """

    protocol: ClassVar[MLHandler | None] = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.mcal_project, self.mcal_label_config = initialise(self, _Base, args, kwargs)
        self.mcal_extra_params: Any = None

    @classmethod
    def connect(cls, protocol: MLHandler) -> type[Self]:
        """Say who answers. Returns the class."""
        cls.protocol = protocol
        return cls

    def predict(self, tasks: list[dict[str, Any]], context: Any = None, **kwargs: Any) -> list[dict[str, Any]]:
        """One result per task, in order; ``context`` and the host's login parameters are not used."""
        if not tasks:
            return []
        project = self.mcal_project or tasks[0].get("project")
        body = {"tasks": tasks, "project": project, "label_config": self.mcal_label_config}
        results: list[dict[str, Any]] = self._answers().predict(body)["results"]
        return results

    def fit(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Wake the worker, which trains; called by the host with an event. 1.0.9: ``fit((), event=, data=)``; 2.x: ``fit(event, data)``."""
        event = kwargs.get("event", args[0] if args else None)
        data = kwargs.get("data", args[1] if len(args) > 1 else None)
        body = {"project": self.mcal_project, **(data if isinstance(data, dict) else {}), "action": event}
        # The host has let the sender in, or not asked; a stranger must not resume what an admin paused.
        return self._answers().webhook(body, trusted=False)

    def set_extra_params(self, extra_params: Any) -> None:
        """2.x: what the admin typed; text or object. Applied by :meth:`get`, which the host's own ``/setup`` calls next."""
        self.mcal_extra_params = extra_params

    def get(self, key: str) -> Any:
        """2.x: the host's ``/setup`` answers with ``get("model_version")``. Raises InvalidValue for extra params that break a rule."""
        if key == "model_version" and self.mcal_project:
            body = {"project": self.mcal_project, "schema": self.mcal_label_config, "extra_params": self.mcal_extra_params}
            return self._answers().setup(body)["model_version"]
        return None

    def _answers(self) -> MLHandler:
        if self.protocol is None:
            raise NotConnected("MCALBackend is not connected: call backend.plugin.install(app, protocol, access) before the first request")
        return self.protocol


def install(app: App, protocol: MLHandler, access: Access) -> App:
    """Connect the plugin class and put our routes over those of an app made by ``label_studio_ml.api.init_app``. Returns the app.

    Call it before the app's first request. Every answer is then the same as from ``backend.web.app.create_app``.
    """
    MCALBackend.connect(protocol)
    return override_routes(app, protocol, access)

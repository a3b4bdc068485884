"""Which outside candidates the operator allows: a campaign's settings come from everybody who may set up a project in Label Studio."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from mcal_engine.classifiers.candidates import BACKEND, LLM, ORDERED, PYTHON, Candidate, parse
from mcal_engine.errors import InvalidValue
from mcal_engine.spec import AUTO


@dataclass(frozen=True, slots=True)
class Allowed:
    """What may be asked, and loaded.

    Attributes:
        backends: address of an ML backend → its login, if it wants one.
        modules: packages or modules whose classes may be candidates by their path.
        models: names of language models.
    """

    backends: dict[str, tuple[str, str] | None] = field(default_factory=dict, repr=False)
    modules: tuple[str, ...] = ()
    models: tuple[str, ...] = ()

    @classmethod
    def of(cls, backends: Sequence[str], modules: Sequence[str], models: Sequence[str] = ()) -> Allowed:
        """From ``ml_backends``, ``classifier_modules`` and ``llm_models``. Raises :class:`InvalidValue`, which repeats no password."""
        return cls(dict(_with_login(each) for each in backends), tuple(modules), tuple(models))

    def check(self, race: Sequence[str]) -> None:
        """Raise :class:`InvalidValue` where a candidate is not allowed; the text says who can allow it, and how."""
        for name in race:
            if name != AUTO:
                self._check(parse(name))

    def _check(self, candidate: Candidate) -> None:
        if candidate.family == ORDERED:
            self._check(parse(candidate.arguments["source"]))
        if candidate.family == BACKEND and candidate.arguments["address"] not in self.backends:
            listed = ", ".join(self.backends) or "none"
            raise InvalidValue(
                f"classifier {candidate.name!r}: this backend may only ask the ML backends of MCAL_ML_BACKENDS, which lists {listed}"
            )
        if candidate.family == LLM and candidate.arguments["model"] not in self.models:
            listed = ", ".join(self.models) or "none"
            raise InvalidValue(
                f"classifier {candidate.name!r}: this backend may only ask the models of MCAL_LLM_MODELS, which lists {listed}"
            )
        if candidate.family == PYTHON and candidate.name.startswith(f"{PYTHON}:"):  # an entry point is allowed by its installation
            module = candidate.path.partition(":")[0]
            if not any(module == each or module.startswith(f"{each}.") for each in self.modules):
                listed = ", ".join(self.modules) or "none"
                raise InvalidValue(
                    f"classifier {candidate.name!r}: this backend may only load modules of MCAL_CLASSIFIER_MODULES, which lists {listed}"
                )


def _with_login(text: str) -> tuple[str, tuple[str, str] | None]:
    """``http://USER:PASSWORD@HOST`` as address and login."""
    try:
        parts = urlsplit(text)
        _ = parts.port  # read to be checked
    except ValueError:
        parts = urlsplit("")
    bare = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    try:
        address = str(parse(f"{BACKEND}:{bare}").arguments["address"])
    except InvalidValue:
        raise InvalidValue("ml_backends must list addresses such as http://HOST:9090 or http://USER:PASSWORD@HOST:9090") from None
    if parts.query or parts.fragment or ("@" in parts.netloc) != bool(parts.username and parts.password):
        raise InvalidValue(f"ml_backends: {address} must be an address, with USER and PASSWORD or without both, without '?' and '#'")
    return address, (unquote(parts.username), unquote(parts.password)) if parts.username and parts.password else None

"""Whatever an answer of Label Studio's cannot be read as comes out as its trouble, which the next try may find mended."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from backend.label_studio.port import LabelStudioError
from mcal_engine.errors import MCALError

C = TypeVar("C", bound=type)
#: What code raises that expected another kind of value: nothing, null, a list for an object, text for a number, endless nesting.
_UNREADABLE = (AttributeError, LookupError, TypeError, ValueError, OverflowError, RecursionError)


def typed(client: C) -> C:
    """A class whose public methods raise :class:`LabelStudioError` where an answer is not of the kind that it should be.

    All but ``fetch_media``: what cannot be read there is one image, and no reason to wait for Label Studio.
    """
    for name, found in list(vars(client).items()):
        if inspect.isfunction(found) and not name.startswith("_") and name != "fetch_media":
            setattr(client, name, _generator(found) if inspect.isgeneratorfunction(found) else _function(found))
    return client


def _function(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return method(*args, **kwargs)
        except _UNREADABLE as error:
            raise _trouble(method, error) from error

    return call


def _generator(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            yield from method(*args, **kwargs)
        except _UNREADABLE as error:
            raise _trouble(method, error) from error

    return call


def _trouble(method: Callable[..., Any], error: Exception) -> Exception:
    if isinstance(error, MCALError):  # says itself what is wrong
        return error
    what = method.__name__.replace("_", " ")
    return LabelStudioError(f"Label Studio's answer about {what} cannot be read ({type(error).__name__})", retryable=True)

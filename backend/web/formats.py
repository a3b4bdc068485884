"""Numbers and times as people read them. Every number on a page carries the value that the API gives beside its text."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from flask import Flask
from markupsafe import Markup

from backend.web.rounds_chart import rounds_chart
from mcal_engine.words import noun, verb

NOTHING = "–"


def count(value: float) -> str:
    return f"{value:,.0f}"


def money(value: float, currency: str = "") -> str:
    """Cents below a thousand, whole units above; what is less than a cent and not nothing says so."""
    text = "< 0.01" if 0 < value < 0.005 else f"{value:,.2f}" if abs(value) < 1000 else f"{value:,.0f}"
    return f"{text} {currency}".strip()


def percent(value: float) -> str:
    """A share: one digit below ten per cent, where it matters."""
    return f"{value:.1%}" if abs(value) < 0.0995 else f"{value:.0%}"


def percent_fine(value: float) -> str:
    return f"{value:.2%}"


def seconds(value: float) -> str:
    if value < 0.95:
        return f"{value:.1f} s"
    return f"{value:.0f} s" if value < 120 else f"{value / 60:.0f} min" if value < 7200 else f"{value / 3600:.1f} h"


def hours(value: float) -> str:
    """How long something takes, no more precise than it can be known."""
    if value * 60 < 1.5:
        return "about a minute"
    return f"about {value * 60:.0f} min" if value < 1.5 else f"about {value:.0f} h" if value < 72 else f"about {value / 24:.0f} days"


def work(value: float) -> str:
    """Hours that were worked, or are to be."""
    return f"{value * 60:.0f} min" if value < 1.5 else f"{value:.1f} h" if value < 99.5 else f"{value:,.0f} h"


def seconds_fine(value: float) -> str:
    """What a label takes."""
    return f"{value:.1f} s" if value < 120 else f"{value / 60:.1f} min"


def price(value: float) -> str:
    """The price of one thing that costs little: three digits."""
    return f"{value:,.3g}" if value < 1000 else f"{value:,.0f}"


def rate(value: float) -> str:
    return f"{value:,.0f} per hour"


def plain(value: Any) -> str:
    """A setting or a piece of evidence, whatever its kind."""
    if value is None or value == "":
        return NOTHING
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return f"{value:,.6g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)


def minutes(value: float) -> str:
    """Work, as :func:`work` writes hours."""
    return work(value / 60)


def ratio(value: float) -> str:
    """A number around 1, such as kappa."""
    return f"{value:.2f}"


KINDS: dict[str, Callable[..., str]] = {
    "count": count,
    "money": money,
    "percent": percent,
    "percent_fine": percent_fine,
    "seconds": seconds,
    "hours": hours,
    "work": work,
    "seconds_fine": seconds_fine,
    "price": price,
    "rate": rate,
    "minutes": minutes,
    "ratio": ratio,
    "plain": plain,
}


def at(values: Any, path: str) -> Any:
    """The value at ``money.total`` or ``bar.0.n`` of an API answer. Raises KeyError where there is none."""
    for part in path.split("."):
        if isinstance(values, Mapping):
            values = values[part]
        elif isinstance(values, list) and part.isdigit() and int(part) < len(values):
            values = values[int(part)]
        else:
            raise KeyError(path)
    return values


def number(values: Any, path: str, kind: str, currency: str = "") -> Markup:
    """``<data>`` with the API's value and its path in the API's answer, and the text people read."""
    value = at(values, path)
    if value is None:
        return Markup("<span>{}</span>").format(NOTHING)
    text = money(value, currency) if kind == "money" else KINDS[kind](value)
    return Markup('<data value="{}" data-path="{}">{}</data>').format(json.dumps(value), path, text)


def time(iso: str | None) -> Markup:
    """An instant; a script puts it into the reader's own zone, without one it says UTC."""
    if iso is None:
        return Markup("<span>{}</span>").format(NOTHING)
    when = datetime.fromisoformat(iso)
    return Markup('<time datetime="{}">{}</time>').format(when.isoformat(), when.strftime("%Y-%m-%d %H:%M UTC"))


def segments(parts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The bar's parts with where each begins and how wide it is, in per cent of the whole."""
    whole = sum(part["n"] for part in parts) or 1
    made, start = [], 0
    for place, part in enumerate(parts):
        made.append({**part, "place": place, "x": 100 * start / whole, "width": 100 * part["n"] / whole, "share": part["n"] / whole})
        start += part["n"]
    return made


def scale(most: float, **places: float | None) -> dict[str, float | None]:
    """Places on a line from 0 to ``most``, in per cent of its length; what lies beyond stands at its end."""
    return {name: None if value is None else 100 * min(max(value / most, 0.0), 1.0) if most else 0.0 for name, value in places.items()}


def gauge(error: Mapping[str, Any]) -> dict[str, float | None]:
    """The error's line: twice the target is in sight, and whatever is larger."""
    known = [value for value in (error["measured"], error["at_most"]) if value is not None]
    most = max(2 * error["target"], *(1.1 * value for value in known)) if known else 2 * error["target"]
    return scale(most, target=error["target"], measured=error["measured"], at_most=error["at_most"])


def bullet(paid: Mapping[str, Any]) -> dict[str, float | None]:
    """The bill's line, from nothing to what people alone would cost, or to the forecast if that is more."""
    names = ("total", "forecast", "low", "high", "human_only")
    most = max(paid[name] or 0.0 for name in names)
    return scale(most, **{name: paid[name] for name in names})


def install(app: Flask) -> None:
    drawings = {"segments": segments, "gauge": gauge, "bullet": bullet, "rounds_chart": rounds_chart}
    app.jinja_env.filters.update(KINDS | drawings | {"noun": noun, "verb": verb, "time": time})
    app.jinja_env.globals["number"] = number

"""What an admin should know about a campaign and would not look for: sentences, each with its number and its way out. Pure."""

from __future__ import annotations

from collections.abc import Callable

from backend.campaign.state import State
from backend.views.money import Money
from mcal_engine.words import counted, counted_of, verb

TOLERATED = 0.005  # share of the paid labels that may be repeats
LEVEL = 0.01  # how seldom that few repeats would be taken for more, at any one look
SHOWN_TASKS = 10
FEWEST = 3  # repeats before anything is said


def warnings(state: State, bill: Money) -> list[str]:
    """Every warning that holds now, in the table's order."""
    return [found for warn in WARNINGS if (found := warn(state, bill)) is not None]


def repeats_paid(state: State, bill: Money) -> str | None:
    """Labels that were paid for tasks that had one already, and that nobody asked for."""
    n = state.n_repeats_paid - len(state.second_labels)
    labels = state.n_labels_paid
    if not too_many(n, labels):
        return None
    cost = f"{n * bill['price_each']:,.2f} {state.settings.currency}"
    return (
        f"{counted_of(n, labels, 'paid label')} ({n / labels:.1%}, {cost}) {verb(n, 'are')} on items that had one already, and "
        "nobody asked for them. "
        "Label Studio on SQLite hands one task to two people who ask at once: let it use PostgreSQL, which does not. "
        "People should take tasks with Label All Tasks only."
    )


def too_many(n: int, labels: int) -> bool:
    """Whether repeats are more than ``TOLERATED``: an exact one-sided binomial test at ``LEVEL``. P(X ≥ n) = I_p(n, labels − n + 1)."""
    if n < FEWEST:
        return False
    from scipy import special  # only where there is something to test: it takes long to import

    return bool(special.betainc(n, labels - n + 1, TOLERATED) <= LEVEL)


def images_changed(state: State, bill: Money) -> str | None:
    """Tasks whose image is another one now than the one that the machine goes by."""
    del bill
    changed = sorted(state.changed_images & {item.task_id for item in state.live})
    if not changed:
        return None
    machine = sum(row.task_id in state.changed_images for row in state.machine_labels if row.state in ("planned", "written"))
    named = ", ".join(map(str, changed[:SHOWN_TASKS])) + (", …" if len(changed) > SHOWN_TASKS else "")
    covered = (
        f"{counted(machine, 'machine label', 'are')} on such tasks; no certificate covers them if the picture differs. " if machine else ""
    )
    return (
        f"{counted(len(changed), 'task')} got another image in Label Studio after the campaign had read the first one: {named}. "
        f"The machine goes by the image that it read first. {covered}Look at these tasks, and label again what is wrong: a person's "
        "label replaces the machine's."
    )


WARNINGS: tuple[Callable[[State, Money], str | None], ...] = (repeats_paid, images_changed)

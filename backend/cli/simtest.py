"""``mcal simtest``: simulated lives of campaigns, with faults at any call."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click

from backend.cli.numbers import Whole
from backend.cli.simulate.options import FILE
from mcal_engine.errors import InvalidValue

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from backend.simtest.life import Place
    from backend.simtest.lives import Found, Violation
    from backend.simtest.runs import Run

RED = 1  # exit code where an invariant was broken, or a mutation was not found
ALL = "all"
SHOWN = 5  # violations
AROUND = 3  # lines of a trace around what happened


@click.command()
@click.option("--seed", type=Whole(min=0), default=0, show_default=True, help="Of the first life; the others follow.")
@click.option("--runs", type=Whole(min=0), default=200, show_default=True, help="Lives; 0: only count what --add names.")
@click.option("--phase", help="Let things happen in this phase only, such as writing_back.")
@click.option("--jobs", type=Whole(min=1), default=1, show_default=True, help="Processes.")
@click.option("--mutate", help="Build this mistake into the product, or all in turn, until a life finds it; see the page Simulated lives.")
@click.option("--trace", is_flag=True, help="Print every call of the first life, and stop.")
@click.option("--matrix", "matrix_file", type=FILE, help="Write how often what happened where there, in Markdown.")
@click.option("--json", "json_file", type=FILE, help="Write what came out there.")
@click.option("--add", "earlier", type=FILE, multiple=True, help="Count in what another run has written by --json.")
def simtest(
    seed: int,
    runs: int,
    phase: str | None,
    jobs: int,
    mutate: str | None,
    trace: bool,
    matrix_file: Path | None,
    json_file: Path | None,
    earlier: tuple[Path, ...],
) -> None:
    """Live whole campaigns in this process, on a clock of their own, with a fake Label Studio and people in it.

    At numbered calls something goes wrong: a process dies, a reply is lost, a list is empty, a lease runs out, a clock is set. In every
    second life people and admins act at any moment too. A seed gives the same life each time, call by call. What a life breaks is printed
    with the shortest life that breaks it as well. Needs no Label Studio and no network. Exit code 1: something was broken.
    """
    from backend.campaign.state import Phase
    from backend.simtest import lives
    from backend.simtest.mutations import MUTATIONS
    from backend.simtest.runs import Run

    if phase is not None and phase not in list(Phase):
        raise InvalidValue(f"phase must be one of {', '.join(Phase)}, got {phase!r}")
    if mutate is not None and mutate not in (*MUTATIONS, ALL):
        raise InvalidValue(f"mutate must be one of {', '.join(MUTATIONS)}, or {ALL}, got {mutate!r}")
    if trace:
        _trace(seed, phase)
        return
    run = Run.of_seeds(seed, runs)
    for file in earlier:
        run.add(Run.read(file))
    began = time.monotonic()
    if mutate is not None:
        missed = [name for name in (MUTATIONS if mutate == ALL else [mutate]) if not _is_found(name, seed, runs, phase)]
        raise click.exceptions.Exit(RED if missed else 0)
    found = run.found
    for part in lives.many(seed, runs, jobs, phase):
        found.add(part)
        _show(part.violations[: max(SHOWN - len(found.violations) + len(part.violations), 0)])
    run.minutes += (time.monotonic() - began) / 60
    _sum_up(found, run.minutes)
    if matrix_file is not None:
        matrix_file.write_text(matrix_page(run), encoding="utf-8")
    if json_file is not None:
        run.write(json_file)
    raise click.exceptions.Exit(RED if found.violations else 0)


def matrix_page(run: Run) -> str:
    """The fault matrix: how often each incident happened in each phase, and at each call."""
    found = run.found
    lived = f"{found.lives:,} lives (seeds {run.seeds}) with {found.calls:,} calls and {sum(found.struck.values()):,} incidents"
    return f"""# Fault matrix

How often each incident happened in [simulated lives](simulated-lives.md) of version {run.version}: {lived},
in {run.minutes:.0f} minutes. {len(found.violations):,} of these lives broke an invariant. Written by `mcal simtest --matrix FILE`.

## By phase of the campaign

{_table(found.struck, lambda place: place.phase.replace("_", " "), _phases())}
## By call

Only what the program does and what Label Studio answers: what people, admins and clocks do happens at any call.

{_table(found.struck, lambda place: f"`{place.call}`", (), across=_at_calls())}"""


def _phases() -> list[str]:
    from backend.campaign.state import Phase

    return [phase.value.replace("_", " ") for phase in Phase]


def _at_calls() -> list[str]:
    from backend.simtest.faults import FAULTS

    return [name for name in FAULTS if "clock" not in name]


def _table(struck: Counter[Place], where: Callable[[Place], str], order: Sequence[str], across: Sequence[str] = ()) -> str:
    """A Markdown table of counts: the incidents down and the places across, or with ``across``, the incidents it names, the other way."""
    from backend.simtest.acts import ACTS
    from backend.simtest.faults import FAULTS

    kinds = list(across) or [*FAULTS, *ACTS]
    counts = Counter[tuple[str, str]]()
    for place, count in struck.items():
        counts[where(place), place.kind] += count
    places = sorted({place for place, kind in counts if kind in kinds}, key=lambda place: order.index(place) if order else place)
    columns, rows = (kinds, places) if across else (places, kinds)

    def n(column: str, row: str) -> int:
        return counts[(row, column) if across else (column, row)]

    text = [f"| | {' | '.join(columns)} | all |", "|---" * (len(columns) + 2) + "|"]
    for row in rows:
        cells = [n(column, row) for column in columns]
        text.append(f"| {row} | {' | '.join(f'{cell:,}' for cell in cells)} | {sum(cells):,} |")
    sums = [sum(n(column, row) for row in rows) for column in columns]
    return "\n".join([*text, f"| **all** | {' | '.join(f'{each:,}' for each in sums)} | {sum(sums):,} |"]) + "\n"


def _is_found(name: str, seed: int, runs: int, phase: str | None) -> bool:
    from backend.simtest import lives
    from backend.simtest.mutations import MUTATIONS

    click.echo(f"{name}: {MUTATIONS[name].words}")
    found = lives.some(range(seed, seed + runs), phase, name, first_only=True)
    _show(found.violations)
    click.echo(f"{name}: {'found' if found.violations else 'NOT found'} within {found.lives:,} {'life' if found.lives == 1 else 'lives'}")
    return bool(found.violations)


def _trace(seed: int, phase: str | None) -> None:
    from backend.simtest import lives
    from backend.simtest.plan import draw

    with lives.lives() as many:
        outcome = many.live(draw(seed, phase))
    click.echo("\n".join(outcome.lines))
    click.echo("\n".join(outcome.problems) or "nothing was broken")


def _show(violations: list[Violation]) -> None:
    for broken in violations:
        click.echo(f"seed {broken.plan.seed}, {broken.plan.scene}:")
        for problem in broken.problems[:SHOWN]:
            click.echo(f"  {problem}")
        happened = ", ".join(f"{incident.kind} at call {incident.at}" for incident in broken.shortest.incidents)
        click.echo(f"  the shortest life that breaks it: {happened or 'nothing happens in it'}")
        places = [place for place, line in enumerate(broken.lines) if "***" in line]
        near = sorted({at for place in places for at in range(max(place - AROUND, 0), min(place + AROUND, len(broken.lines)))})
        click.echo("\n".join(f"    {broken.lines[at]}" for at in near))


def _sum_up(found: Found, minutes: float) -> None:
    kinds: Counter[str] = Counter()
    for place, count in found.struck.items():
        kinds[place.kind] += count
    click.echo(", ".join(f"{kind} {count:,}" for kind, count in kinds.most_common()))
    click.echo(
        f"{found.lives:,} lives, {found.calls:,} calls, {sum(kinds.values()):,} incidents, {minutes:.1f} min: "
        f"{len(found.violations):,} lives broke an invariant"
    )

"""The validity benchmark's verdict: shares of broken promises with their intervals, and tests that can fail."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from mcal_engine.bench.validity import rules
from mcal_engine.bench.validity.worlds import Row
from mcal_engine.types import FloatArray

PROMISED = 0.05  # 1 − confidence_level of the default settings
CELL_LEVEL, POOLED_LEVEL = 0.01, 0.05
ESTIMATE_TOLERANCE = 0.03  # of ε, for the survivors' mean error on the fixed schedule
ESTIMATE_ITEMS = 10_000  # from here on; below, the test set is too small for a few per cent
BINDING = 1.25  # ε binds where the pool holds this many times as many errors as are allowed
DRAWS = 100_000
Cell = tuple[str, int, float]
NAMES = {
    "plug_in_all_of_T": "plug-in, all of T",
    "theta_grid": "the paper's θ grid",
    "survivors": "survivors",
    "engine_estimate": "the engine's estimate",
    "two_bands": "certificate",
    "two_bands_with_skips": "certificate, people skip",
    "certificate": "uniform certificate",
    "certificate_with_skips": "uniform certificate, people skip",
    "clopper_pearson": "Clopper–Pearson",
    "pac_labels": "PAC labels",
    "engine": "certificate, engine's schedule",
}


@dataclass(frozen=True, slots=True)
class Share:
    """``k`` broken promises of ``n``, with Clopper and Pearson's 95 % interval."""

    k: int
    n: int

    @property
    def interval(self) -> tuple[float, float]:
        low = float(stats.beta.ppf(0.025, self.k, self.n - self.k + 1)) if self.k else 0.0
        high = float(stats.beta.ppf(0.975, self.k + 1, self.n - self.k)) if self.k < self.n else 1.0
        return low, high

    @property
    def p_value(self) -> float:
        """One-sided: how likely so many or more are if each run breaks its promise with probability ``PROMISED``."""
        return float(stats.binom.sf(self.k - 1, self.n, PROMISED))

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.k / max(self.n, 1):.1%} [{low:.1%}, {high:.1%}]"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing the benchmark asks for, and whether it holds."""

    good: bool
    sentence: str


def broken(rows: Sequence[Row]) -> dict[str, dict[Cell, Share]]:
    """Per rule and cell (data, |X|, ε): in how many runs more labels were wrong than ε allows."""
    counts: dict[str, dict[Cell, list[int]]] = {}
    for row, reading in readings(rows, "fixed"):
        for rule, (_, errors) in reading["rules"].items():
            counts.setdefault(rule, {}).setdefault(cell_of(row, reading), []).append(errors > reading["allowed"])
    for row, reading in readings(rows, "price"):
        counts.setdefault("engine", {}).setdefault(cell_of(row, reading), []).append(reading["default"]["errors"] > reading["allowed"])
    return {rule: {cell: Share(sum(runs), len(runs)) for cell, runs in cells.items()} for rule, cells in counts.items()}


def pooled(shares: dict[Cell, Share]) -> Share:
    return Share(sum(share.k for share in shares.values()), sum(share.n for share in shares.values()))


@dataclass(frozen=True, slots=True)
class Estimate:
    """Mean true error of an estimate's machine labels as a share of ε, its standard error, and whether ε binds in this cell."""

    ratio: float
    error: float
    binds: bool


def estimates(rows: Sequence[Row], kind: str, rule: str = "survivors") -> dict[Cell, Estimate]:
    """The survivors' estimate: on the fixed schedule unbiased, on the engine's own (``price``) a little optimistic."""
    found: dict[Cell, list[tuple[float, float]]] = {}
    for row, reading in readings(rows, kind):
        if kind == "price" and "estimate_errors" not in reading["default"]:
            continue
        errors = reading["rules"][rule][1] if kind == "fixed" else reading["default"]["estimate_errors"]
        of_pool = row["result"]["pool_errors"] if kind == "fixed" else reading["default"]["pool_errors"]
        found.setdefault(cell_of(row, reading), []).append((errors / reading["allowed"], of_pool / reading["allowed"]))
    summary = {}
    for cell, pairs in found.items():
        ratios, pool = np.array(pairs).T
        summary[cell] = Estimate(float(ratios.mean()), standard_error(ratios), bool(pool.mean() >= BINDING))
    return summary


def findings(rows: Sequence[Row]) -> list[Finding]:
    """Everything that has to hold; one that does not turns the benchmark red."""
    return [*_validity(rows), *_unbiased(rows), *_exact(rows)]


def _validity(rows: Sequence[Row]) -> Iterator[Finding]:
    shares = broken(rows)
    for rule in (*rules.CERTIFICATES, "engine", *rules.CROSS_CHECKS):
        if rule not in shares:
            continue
        total = pooled(shares[rule])
        yield Finding(
            total.p_value >= POOLED_LEVEL,
            f"{NAMES[rule]}: broken in {total.k} of {total.n} runs, {total}; p = {total.p_value:.3g} against at most {PROMISED:.0%}",
        )
        for cell, share in shares[rule].items():
            if share.p_value < CELL_LEVEL:
                yield Finding(False, f"{NAMES[rule]}, {cell_name(cell)}: broken in {share.k} of {share.n} runs, p = {share.p_value:.3g}")


def _unbiased(rows: Sequence[Row]) -> Iterator[Finding]:
    for cell, found in estimates(rows, "fixed").items():
        if found.binds and cell[1] >= ESTIMATE_ITEMS:
            yield Finding(
                # With few campaigns the mean itself is uncertain by more than the tolerance.
                abs(found.ratio - 1) <= max(ESTIMATE_TOLERANCE, 2.5 * found.error),
                f"survivors, {cell_name(cell)}: mean error {found.ratio:.3f} × ε (standard error {found.error:.3f}), "
                f"wanted within {ESTIMATE_TOLERANCE:.0%}",
            )


def _exact(rows: Sequence[Row]) -> Iterator[Finding]:
    """f(c0) of each cell's first certificate, in whole numbers and by drawing."""
    seen: set[Cell] = set()
    for row, reading in readings(rows, "fixed"):
        cell = cell_of(row, reading)
        if cell in seen or reading.get("tolerated") is None:
            continue
        seen.add(cell)
        n_pool, n_sample = row["result"]["n_pool"], reading["n_certificate"]
        c, allowed = reading["tolerated"], reading["allowed"]
        computed = rules.computed_miss(c, n_pool, n_sample, allowed)
        exact = float(rules.exact_miss(c, n_pool, n_sample, allowed))
        drawn = rules.drawn_miss(c, n_pool, n_sample, allowed, DRAWS, len(seen))
        spread = np.sqrt(max(exact * (1 - exact), 1 / DRAWS) / DRAWS)
        good = abs(computed - exact) <= 1e-9 * exact and abs(drawn - exact) <= 4 * spread and exact <= reading["level"]
        yield Finding(
            bool(good),
            f"f({c}), {cell_name(cell)}, V = {n_sample:,} of {n_pool:,}: {computed:.5f}, in fractions {exact:.5f}, drawn {drawn:.5f}; "
            f"allowed {reading['level']:g}",
        )


def cell_name(cell: Cell) -> str:
    return f"{cell[0]}, {cell[1]:,} items, ε = {cell[2]:.0%}"


def readings(rows: Sequence[Row], kind: str) -> Iterator[tuple[Row, Row]]:
    return ((row, reading) for row in rows if row["task"]["kind"] == kind for reading in row["result"]["readings"])


def cell_of(row: Row, reading: Row) -> Cell:
    return row["data"]["name"], row["result"]["n_items"], reading["target_error"]


def standard_error(values: FloatArray) -> float:
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float("nan")

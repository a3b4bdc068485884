"""What a campaign's human labels come to, from its start on. Everything that speaks of money counts labels by this."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Labels:
    """Human labels as the bill counts them. Labels that were there before the campaign are in none of these numbers.

    An item that cannot be labelled is in none of them either: nobody could have bought a label for it.

    Attributes:
        n_paid: labels bought so far, repeats and those on items that were deleted since included.
        n_repeats: those of them beyond the first on their item.
        n_left: items that still need a label of some kind, from people or from the machine.
        n_machine: items that have a machine label.
    """

    n_paid: int
    n_repeats: int
    n_left: int
    n_machine: int = 0

    @property
    def n_alone(self) -> int:
        """Labels that people alone would have bought: one for each item without a label when the campaign began."""
        return self.n_paid - self.n_repeats + self.n_left + self.n_machine

    def n_at_end(self, n_machine: float = 0, n_second: float = 0) -> float:
        """Labels paid for in the end, if the machine labels ``n_machine`` of what is left and ``n_second`` items are labelled twice."""
        return self.n_paid + self.n_left - n_machine + n_second

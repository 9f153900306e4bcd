"""Where a loader is: the batch that comes next, and where the next pass begins."""

from __future__ import annotations

from dataclasses import dataclass

from service.client.position import Position


@dataclass(frozen=True, slots=True, eq=False)
class PassStart:
    """Where a pass begins; the pass whose start was taken last is the one whose progress counts.

    Attributes:
        position: its first batch.
        chosen: the position that had been chosen for it; None if it is just the next epoch.
    """

    position: Position
    chosen: Position | None


class Cursor:
    """Keeps the place from pass to pass. A new pass is the next epoch, however far the one before came, unless somebody chooses another place.

    Attributes:
        position: the batch that comes next.
        next_start: where the next pass begins.
    """

    def __init__(self) -> None:
        self.position = self.next_start = Position(0)
        self._chosen: Position | None = None
        self._latest: PassStart | None = None

    def take(self) -> PassStart:
        """Begin a pass."""
        self._latest = PassStart(self.next_start, self._chosen)
        self.position, self.next_start, self._chosen = self.next_start, Position(self.next_start.epoch + 1), None
        return self._latest

    def give_back(self, start: PassStart) -> bool:
        """Undo a pass that gave no batch; without effect if the place was chosen anew, or another pass begun, in the meantime.

        Returns:
            whether it had an effect.
        """
        is_last = self._latest is start and self._chosen is None and self.next_start == Position(start.position.epoch + 1)
        if is_last:
            self.position = self.next_start = start.position
            self._chosen, self._latest = start.chosen, None
        return is_last

    def take_over(self, start: PassStart, follower: PassStart) -> PassStart | None:
        """Undo a pass that gave no batch, and let the one that was begun after it have its place; return None if that did not just follow it."""
        if follower.chosen is not None or follower.position != Position(start.position.epoch + 1) or not self.give_back(follower):
            return None
        self.next_start, self._chosen = start.position, start.chosen
        return self.take()

    def advance(self, start: PassStart, position: Position) -> None:
        """Note a pass's progress; without effect if it is not the latest, or if a position was loaded since it began."""
        if self._latest is start:
            self.position = position

    def choose_epoch(self, epoch: int) -> None:
        """Make the next pass the one of this epoch: from its beginning, unless a position in it was chosen and is still to be taken up."""
        step = self._chosen.step if self._chosen is not None and self._chosen.epoch == epoch else 0
        origin = self._chosen.origin if self._chosen is not None and step else None
        self.position = self.next_start = Position(epoch, step, origin)
        self._chosen = self.next_start

    def choose(self, position: Position, steps: int) -> None:
        """Make the next pass go on at a position; if that is the end of an epoch, with the next epoch, unless `choose_epoch` asks for this one's end.

        Args:
            position: the batch that shall come next.
            steps: in an epoch.
        """
        self._chosen, self._latest = position, None
        self.position = self.next_start = position.skip_end(steps)

    def rewind_to_position(self, steps: int | None) -> None:
        """Make the next pass go on where `position` says, as a copy has to.

        Args:
            steps: in an epoch; None if that is not known yet, for nothing was read then.
        """
        if steps is not None and self.position != self.next_start:
            self.choose(self.position, steps)

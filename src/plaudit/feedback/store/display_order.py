"""The order in which a labeler sees the answers: random, stored, and balanced over the labelers of an item."""

from __future__ import annotations

from plaudit.feedback.store.ids import keyed_hash


def display_order(secret: str, item_id: str, count: int, slot: int) -> list[int]:
    """Positions 0..count-1 as the ``slot``-th labeler of an item sees them.

    Each block of ``count`` labelers rotates one permutation, drawn by a keyed hash of item and block, so that every
    answer stands first, and in every other place, equally often (a Latin square); with two answers each second
    labeler sees them reversed. The key never leaves the server: nobody can tell which answer is which.
    """
    block, turn = divmod(slot, count)
    drawn = sorted(
        range(count), key=lambda i: keyed_hash(bytes.fromhex(secret), "order", item_id, str(block), str(i))
    )
    return drawn[turn:] + drawn[:turn]

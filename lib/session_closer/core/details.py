"""What people call a session, and what it has used: what a list finds by and shows, and no plan needs (pure)."""

from __future__ import annotations

from .tuples import NamedTuple


class Details(NamedTuple):
    """What an entry says besides what a plan needs; None where it says nothing, or not what it should.

    `title`: the subject of a conversation, or its first words; `created_at` is in ms since 1970.
    """

    label: str | None = None
    display_name: str | None = None
    title: str | None = None
    channel: str | None = None
    parent_key: str | None = None
    spawned_by: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    total_tokens: int | None = None
    context_tokens: int | None = None
    model_provider: str | None = None
    created_at: int | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """What a person could look for it by."""
        return tuple(text for text in (self.label, self.display_name, self.title, self.channel) if text)


NOTHING = Details()

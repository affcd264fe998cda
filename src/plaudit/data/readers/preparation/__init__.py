"""Changes to rows before their schema is detected, so that no text of a conversation is lost or doubled."""

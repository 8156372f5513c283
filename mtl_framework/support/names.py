"""Names are checked for whether they can be shown to people."""


def can_be_shown(name: str) -> bool:
    """Say whether a name has letters and nothing invisible, except what joins letters.

    A zero-width joiner makes one emoji of several, and a non-joiner belongs to the spelling of
    Persian words; Python calls neither of them printable.
    """
    seen = name.replace("\u200c", "").replace("\u200d", "")
    return bool(seen.strip()) and seen.isprintable()

"""Tables: where they come from, how they are read and written."""

from opal._lazy import public

__getattr__, __all__ = public(
    __name__,
    {
        "build_table": "build",
        "load_craft": "craft:load",
        "load_csv": "file:load",
        "load_openml": "openml:load",
        "load_pinned": "pinned:load",
        "load_sklearn": "sklearn:load",
    },
)

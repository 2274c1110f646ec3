"""Language models: the client of their endpoints (api), rows from them (rows), the embedded one (local)."""

from opal._lazy import public

__getattr__, __all__ = public(
    __name__,
    {"Client": "api.client", "LocalServer": "local.server", "Prompt": "rows.prompt"},
)

"""Does the swap as soon as aiohttp is imported. Imports neither aiohttp nor uvolt.http itself."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

__all__ = ("AiohttpFinder",)


class AiohttpFinder:
    """Finds aiohttp as the other finders do, and has the swap done behind its import."""

    def remove(self) -> None:
        """Find nothing any more."""
        if self in sys.meta_path:
            sys.meta_path.remove(self)

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec of aiohttp; of all else None."""
        if name != "aiohttp":
            return None
        here = sys.meta_path.index(self)
        sys.meta_path.remove(self)  # the others are asked
        try:
            spec = importlib.util.find_spec(name)
        finally:
            sys.meta_path.insert(here, self)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader, self)  # type: ignore[assignment]
        return spec


class _Loader:
    """Loads aiohttp by its own loader, which takes this one's place afterwards."""

    def __init__(self, loader: Any, finder: AiohttpFinder) -> None:
        self._loader = loader
        self._finder = finder

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """As the own loader does."""
        module: ModuleType | None = self._loader.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Run aiohttp's own code, then the swap."""
        from . import certificates

        assert module.__spec__ is not None
        module.__loader__ = module.__spec__.loader = self._loader
        with certificates.read_later():
            self._loader.exec_module(module)
        if self._finder in sys.meta_path:  # else it was called off meanwhile
            self._finder.remove()
            from . import names

            names.put_in()

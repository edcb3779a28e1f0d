"""A party's own bottom model: found beside its party file or among the installed packages, and nowhere else.

The folder is not put on Python's search path, where every optional import of every library would look into it.
"""

from __future__ import annotations

import importlib
import sys
import threading
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import module_from_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from parties.config.errors import did_you_mean
from vsplit.learn.models import Builder
from vsplit.protocol import ConfigError

_lock = threading.RLock()
_loaded: set[str] = set()


def builder_at(path: str, folder: Path | None = None) -> Builder:
    """The builder at an import path `package.module:function`; it takes an InputShape and the width of the embedding.

    The first name of the path is looked for in `folder`, then among the installed packages. A package may import its own
    modules by their full or relative names; a file alone cannot import the files beside it. Raises ConfigError where
    the path leads to nothing that can be called; an error of the module itself is not caught.
    """
    name, _, function = path.partition(":")
    try:
        module = _module(name, folder)
    except (
        SystemExit
    ) as error:  # a script that runs its own command; this one must not end with that command's exit code
        raise ConfigError(
            f"The party file's `bottom.module` says {path}, and importing {name} ends the program (SystemExit: {error.code}): "
            "put what is for the command line behind `if __name__ == '__main__':`."
        ) from None
    except ImportError as error:
        raise ConfigError(
            f"The party file's `bottom.module` says {path}, and it cannot be imported ({error})"
            f"{_advice(name, folder, error)}"
        ) from None
    if not hasattr(module, function):
        where = module.__file__ or "built in"
        raise ConfigError(
            f"The party file's `bottom.module` says {path}, which cannot be imported: {name} was found ({where}), but "
            f"has no {function}{did_you_mean(function, vars(module)) or '.'} Name a function of that file that builds a module."
        )
    builder: Any = getattr(module, function)
    if not callable(builder):
        raise ConfigError(
            f"The party file's `bottom.module` says {path}, which is not a function that builds a module."
        )
    built: Builder = builder
    return built


def _module(name: str, folder: Path | None) -> ModuleType:
    top, _, rest = name.partition(".")
    with _lock:
        importlib.invalidate_caches()
        spec = None if folder is None else PathFinder.find_spec(top, [str(folder)])
        if spec is not None and (spec.loader is not None or _has_module(spec, rest)):
            _load(top, spec)
        return importlib.import_module(name)


def _has_module(spec: ModuleSpec, rest: str) -> bool:
    """Whether a folder without __init__.py, which might be anything, has the module that is meant."""
    inner = rest.partition(".")[0]
    return bool(inner) and PathFinder.find_spec(inner, list(spec.submodule_search_locations or ())) is not None


def _load(top: str, spec: ModuleSpec) -> None:
    """Load a module or package from its own location under its own name, so that it finds its own parts."""
    if spec.loader is None:  # Python would look for the parts of such a package all over its search path.
        spec.submodule_search_locations = list(spec.submodule_search_locations or ())
    present = sys.modules.get(top)
    if present is not None:
        if _locations(present.__spec__) == _locations(spec):
            return
        if top not in _loaded:
            raise ConfigError(
                f"The party file's `bottom.module` names {top}, but this is the name of a module that is in use already "
                f"({next(iter(_locations(present.__spec__)), 'built in')}): call yours by another name."
            )
        for loaded in [name for name in sys.modules if name.partition(".")[0] == top]:
            del sys.modules[loaded]
    module = sys.modules[top] = module_from_spec(spec)
    try:
        if spec.loader is not None:
            spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[top]
        raise
    _loaded.add(top)


def _locations(spec: ModuleSpec | None) -> tuple[object, ...]:
    return () if spec is None else (spec.origin, *(spec.submodule_search_locations or ()))


def _advice(name: str, folder: Path | None, error: Exception) -> str:
    if folder is None:
        return ": see that its package is installed in this environment."
    if not folder.is_dir():
        return f": it is looked for in {folder}, which is no folder; correct the key bottom.folder."
    missing = (error.name or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    if missing not in ("", name.partition(".")[0]) and PathFinder.find_spec(missing, [str(folder)]):
        return (
            f": {missing} is in {folder}, from which only the named module is loaded. Put both into one "
            f"package, a folder with an __init__.py, and write `from . import {missing}`."
        )
    if missing not in ("", name.partition(".")[0]):
        return f": {name} was found, and needs {missing}, which is not installed in this environment; install it."
    return (
        f": it is looked for in the folder {folder}, then among the installed packages, and nowhere else. Put it there, name "
        "its folder by the key bottom.folder, or install its package in this environment."
    )

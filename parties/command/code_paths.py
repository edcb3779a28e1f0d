"""Where Python searches for code: among installed packages, and not in folders of data.

Python puts a folder first on its search path: the working folder with `-m`, that of the script otherwise. An empty part of
PYTHONPATH, as in `$PYTHONPATH:/opt/x`, adds the working folder as well. Libraries try many optional imports, so a file there
with the right name would be executed.
"""

# This module imports only what Python itself has imported already, not even __future__: the folder may contain a file with any
# name.
import os
import sys

_PROGRAM = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))  # noqa: PTH120


def use_installed_code_only() -> None:
    """Remove those folders from the search path of this process and of the processes that it starts.

    Folders that PYTHONPATH names explicitly remain. A checkout that is not installed is searched last.
    """
    working = _working_folder()
    if not sys.flags.safe_path and sys.path and sys.path[0] in {"", working, *_folders_of_the_script()}:
        del sys.path[0]
    written = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    named = [part for part in written if part]
    if named != written:
        before = list(sys.path)
        sys.path[:] = [entry for entry in sys.path if entry != working]
        if working in {*map(os.path.abspath, named), *_installed()}:
            sys.path[:] = before
        os.environ["PYTHONPATH"] = os.pathsep.join(named)
    os.environ["PYTHONSAFEPATH"] = "1"
    if _PROGRAM not in sys.path:
        sys.path.append(_PROGRAM)


def _installed() -> list[str]:
    import sysconfig  # imported only now, when the working folder is no longer searched

    return list(sysconfig.get_paths().values())


def _working_folder() -> str:
    try:
        return os.getcwd()  # noqa: PTH109
    except FileNotFoundError:  # it was removed
        return ""


def _folders_of_the_script() -> set[str]:
    script = sys.argv[0] if sys.argv else ""
    return {os.path.dirname(path) for path in (os.path.abspath(script), os.path.realpath(script))}  # noqa: PTH100, PTH120

"""The command `vsplit`, which `python -m parties` is as well."""

import sys

from parties.command.code_paths import use_installed_code_only


def main() -> None:
    """Entry point of the console script. Nothing but the standard library is imported before the search path is clean."""
    try:
        use_installed_code_only()
        from parties.command import cli

        cli.main()
    except KeyboardInterrupt:  # while the command itself was loaded
        sys.exit(130)


if __name__ == "__main__":
    main()

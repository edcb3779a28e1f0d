"""`python -m parties` is the command `vsplit`."""

from parties.command.cli import main

if __name__ == "__main__":
    main()

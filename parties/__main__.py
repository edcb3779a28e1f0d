"""`python -m parties` is the command `vsplit`."""

from parties.cli import main

if __name__ == "__main__":
    main()

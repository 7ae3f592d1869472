"""`python -m keytrail` is the command `keytrail`."""

from keytrail.cli import main

if __name__ == "__main__":
    main()

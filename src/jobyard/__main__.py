"""`python -m jobyard`: the command line."""

from jobyard.cli.app import main

if __name__ == "__main__":
    main()

"""`python -m service`, the same as `batchlens`."""

from service.cli import main

if __name__ == "__main__":
    main()

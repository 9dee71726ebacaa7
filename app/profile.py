"""Profiles what was collected, and puts the contract that it supports in force: `python -m app.profile [DATASET]`."""

from assay.cli import main

if __name__ == "__main__":
    main(["learn", "--activate"])

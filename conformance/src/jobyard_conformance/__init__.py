"""The contract of a jobyard backend as a test suite that anyone can run."""

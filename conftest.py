"""What all tests of the checkout share: how Hypothesis finds its examples, what Ctrl-C does."""

from __future__ import annotations

import signal

from hypothesis import HealthCheck, settings

# A run of the tests finds what the one before found, however slow the machine is; `make fuzz` looks
# for what nobody has found yet.
settings.register_profile(
    "tests", deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
settings.register_profile(
    "fuzz", deadline=None, max_examples=10_000, suppress_health_check=list(HealthCheck)
)
settings.load_profile("tests")

# A shell lets what it starts in the background ignore Ctrl-C, and so would every process that a
# test starts to interrupt it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

"""What all tests of the checkout share: how Hypothesis finds its examples."""

from __future__ import annotations

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

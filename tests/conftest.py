"""What holds for all tests."""

from hypothesis import HealthCheck, settings

# How fast a machine is, or how busy with something else, must not decide whether a test passes.
settings.register_profile("swarmd", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("swarmd")

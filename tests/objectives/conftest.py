"""Properties are tried on the same examples every time, and a busy machine is no failure."""

from hypothesis import settings

settings.register_profile("plaudit", deadline=None, derandomize=True, database=None)
settings.load_profile("plaudit")

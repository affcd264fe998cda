"""The site of the attack suite, for its normal use."""

from postgresql import migrated_sqlite
from web.security.conftest import file, site

__all__ = ["file", "migrated_sqlite", "site"]

"""The HTTP API: everything the pages do, and programs may do too."""

from plaudit.web.api import guidelines, labeling, managing, people, signing_in

ROUTERS = (signing_in.router, labeling.router, guidelines.router, managing.router, people.router)

"""The HTTP API: everything the pages do, and programs may do too."""

from plaudit.web.api import guidelines, items, labeling, people, project, results, signing_in

ROUTERS = tuple(
    module.router for module in (signing_in, labeling, guidelines, project, items, people, results)
)

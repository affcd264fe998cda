"""The HTTP API: everything the pages do, and programs may do too."""

from plaudit.web.api import auth, guidelines, items, labeling, people, project, results, tokens

ROUTERS = tuple(
    module.router for module in (auth, tokens, labeling, guidelines, project, items, people, results)
)

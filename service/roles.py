"""The role that each route requires; a route that declares none stops the start."""

from collections.abc import Callable, Collection, Sequence
from functools import lru_cache
from re import Pattern
from typing import Literal, NamedTuple, TypeVar

from fastapi.routing import RouteContext, iter_route_contexts
from starlette.routing import BaseRoute

from hardneg.schemas.keys import Role

ROLE_ATTRIBUTE = "required_role"
REMEMBERED_PATHS = 4096
MAX_REMEMBERED_LENGTH = 100

Endpoint = TypeVar("Endpoint", bound=Callable[..., object])


def requires(
    role: Literal["read", "review", "write", "train", "admin"],
) -> Callable[[Endpoint], Endpoint]:
    """Declare the lowest role that may call an endpoint; write it below the route's decorator."""

    def declare(endpoint: Endpoint) -> Endpoint:
        setattr(endpoint, ROLE_ATTRIBUTE, Role(role))
        return endpoint

    return declare


def open_to_all(endpoint: Endpoint) -> Endpoint:
    """Declare that an endpoint may be called without a key."""
    setattr(endpoint, ROLE_ATTRIBUTE, None)
    return endpoint


class RoleNotDeclared(Exception):
    """A route would be open or closed by accident."""

    def __init__(self, path: str) -> None:
        super().__init__(f"declare who may call {path}: @requires(ROLE) or @open_to_all")


class _RouteRole(NamedTuple):
    path: Pattern[str]
    methods: Collection[str]
    role: Role | None


class RouteRoles:
    """The required role of every route; unknown paths and methods require the role `read`."""

    def __init__(self, routes: Sequence[BaseRoute], open_paths: Collection[str]) -> None:
        """
        Read the declarations.

        `open_paths` are open to all, with everything below them: paths of routes that are not
        ours and cannot declare it.

        Raises:
            RoleNotDeclared: A route neither declares a role nor has an open path.
        """
        self._open_paths = frozenset(open_paths)
        self._open_folders = tuple(f"{path}/" for path in open_paths)
        self._routes = [
            _RouteRole(context.path_regex, context.methods or (), _declared_role(context))
            for context in iter_route_contexts(routes)
            if context.path not in self._open_paths
        ]
        self._remembered = lru_cache(REMEMBERED_PATHS)(self._find)

    def required(self, method: str, path: str) -> Role | None:
        """Return the lowest role that may call `method` on `path`; None if it needs no key."""
        find = self._remembered if len(path) <= MAX_REMEMBERED_LENGTH else self._find
        return find(method, path)

    def _find(self, method: str, path: str) -> Role | None:
        if path in self._open_paths or path.startswith(self._open_folders):
            return None
        for route in self._routes:  # in the order in which the router tries them
            if method in route.methods and route.path.match(path):
                return route.role
        return Role.READ


def _declared_role(context: RouteContext) -> Role | None:
    if not hasattr(context.endpoint, ROLE_ATTRIBUTE):
        raise RoleNotDeclared(context.path or "a route without a path")
    role: Role | None = getattr(context.endpoint, ROLE_ATTRIBUTE)
    return role

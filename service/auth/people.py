"""People, as an identity provider describes them, and the roles that they get."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from hardneg.schemas.keys import Role
from service.auth.errors import PersonWithoutRole, SignInRefused
from service.identity import Identity

ANYONE = "*"
MAX_NAME_LENGTH = 255  # of a subject, by OpenID Connect Core 1.0, section 2


@dataclass(frozen=True, slots=True)
class Person:
    """A person who has signed in; `subject` is the provider's unchanging name for them."""

    identity: Identity
    subject: str


def person_of(claims: Mapping[str, object], roles_claim: str, roles: Mapping[str, Role]) -> Person:
    """
    Return the person whom verified claims describe, with the highest role of their groups.

    The name is the address of mail if the provider has verified it, else the subject: what people
    may write into their profiles is no name for the audit.

    Args:
        claims: Of the ID token, and of the user's information where it was read.
        roles_claim: A claim; a dot leads into an object, as in `realm_access.roles`.
        roles: The role of each value of that claim; `*` is everyone.

    Raises SignInRefused, PersonWithoutRole.
    """
    subject = _plain(claims.get("sub"))
    if subject is None:
        raise SignInRefused("the identity provider gave no usable subject")
    email = _plain(claims.get("email")) if claims.get("email_verified") is True else None
    name = email or subject
    groups = [ANYONE, *_texts(claim_at(claims, roles_claim))]
    found = [roles[group] for group in groups if group in roles]
    if not found:
        raise PersonWithoutRole(name, roles_claim)
    return Person(Identity(name, max(found, key=list(Role).index)), subject)


def claim_at(claims: Mapping[str, object], path: str) -> object:
    """Return the claim of a name, or at a path of names joined by dots; None if there is none."""
    if path in claims:
        return claims[path]
    found: object = claims
    for name in path.split("."):
        if not isinstance(found, Mapping):
            return None
        found = cast(Mapping[str, object], found).get(name)
    return found


def _texts(value: object) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [item for item in values if isinstance(item, str)]


def _plain(value: object) -> str | None:
    """Return a printable text of a bounded length; None for anything else."""
    if not isinstance(value, str) or not 0 < len(value) <= MAX_NAME_LENGTH:
        return None
    return value if value.isprintable() else None

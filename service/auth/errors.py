"""Refusals of callers by their keys."""

from http import HTTPStatus

from hardneg.schemas.keys import Role
from service.errors import ServiceError
from service.identity import Identity


class NotAuthorised(ServiceError):
    """The key is missing, wrong, revoked or expired; the answer does not say which."""

    status = HTTPStatus.UNAUTHORIZED
    slug = "not-authorised"
    title = "Not authorised"

    def __init__(self) -> None:
        super().__init__(
            "send a valid key of the service as 'Authorization: Bearer KEY' or 'X-API-Key: KEY'"
        )
        self.headers = {"WWW-Authenticate": 'Bearer realm="hardneg"'}


class WrongCsrfToken(ServiceError):
    status = HTTPStatus.FORBIDDEN
    slug = "wrong-csrf-token"
    title = "Wrong CSRF token"

    def __init__(self) -> None:
        super().__init__(
            "a change with a cookie needs the header 'X-CSRF-Token' from GET /session: load the "
            "page again"
        )


class RoleTooLow(ServiceError):
    status = HTTPStatus.FORBIDDEN
    slug = "role-too-low"
    title = "Role too low"

    def __init__(self, identity: Identity, required: Role) -> None:
        super().__init__(
            f"this call requires the role {required}, and '{identity.name}' has the role "
            f"{identity.role}: use a key with the role {required}"
        )


class SignInRefused(ServiceError):
    """An answer of the identity provider that does not prove who the person is."""

    status = HTTPStatus.FORBIDDEN
    slug = "sign-in-refused"
    title = "Sign-in refused"

    def __init__(self, reason: str) -> None:
        super().__init__(f"{reason}: begin the sign-in again")


class PersonWithoutRole(ServiceError):
    status = HTTPStatus.FORBIDDEN
    slug = "person-without-role"
    title = "Person without a role"

    def __init__(self, person: str, claim: str) -> None:
        super().__init__(
            f"the identity provider's claim '{claim}' gives '{person}' no role in this service: "
            "ask an admin to add you to a group that HARDNEG_OIDC_ROLES names"
        )


class ProviderAway(ServiceError):
    """The identity provider does not answer, or not as OpenID Connect requires."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    slug = "identity-provider-away"
    title = "The identity provider does not answer"

    def __init__(self, reason: str) -> None:
        super().__init__(f"the identity provider {reason}: try again later, or sign in with a key")


class KeyOverLimit(ServiceError):
    status = HTTPStatus.TOO_MANY_REQUESTS
    slug = "key-over-limit"
    title = "Key over its limit"

    def __init__(self, limit: str, wait_s: int) -> None:
        super().__init__(f"this key has used up its {limit}: try again in {wait_s} s")
        self.headers = {"Retry-After": str(wait_s)}


class TooManyWrongKeys(ServiceError):
    status = HTTPStatus.TOO_MANY_REQUESTS
    slug = "too-many-wrong-keys"
    title = "Too many wrong keys"

    def __init__(self, wait_s: int) -> None:
        super().__init__(
            f"too many requests with wrong keys came from this address: correct the key, and try "
            f"again in {wait_s} s"
        )
        self.headers = {"Retry-After": str(wait_s)}


class UnknownKey(ServiceError):
    status = HTTPStatus.NOT_FOUND
    slug = "unknown-key"
    title = "Unknown key"

    def __init__(self, key: str) -> None:
        super().__init__(f"there is no key {key}: list the keys to see their ids and names")


class KeyNameTaken(ServiceError):
    status = HTTPStatus.CONFLICT
    slug = "key-name-taken"
    title = "Key name taken"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"there is or was a key named '{name}': choose another name, so that the audit stays "
            "clear"
        )


class KeyExpiresInThePast(ServiceError):
    status = HTTPStatus.UNPROCESSABLE_ENTITY
    slug = "key-expires-in-the-past"
    title = "Key expires in the past"

    def __init__(self) -> None:
        super().__init__("the key would have expired already: give a later 'expires_at'")

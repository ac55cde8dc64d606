"""API keys of the service."""

from datetime import datetime
from urllib.parse import quote

from pydantic import TypeAdapter

from hardneg.schemas.keys import KeyOut, KeyRequest, NewKey, Role
from hardneg.transport import Connection, read_answer

_KEYS = TypeAdapter(list[KeyOut])


class KeyCalls(Connection):
    """Calls under `/keys`, for keys with the role `admin`."""

    def keys(self) -> list[KeyOut]:
        """Return all keys, revoked ones too, without their texts."""
        return _KEYS.validate_json(self._get("/keys").content)

    def create_key(self, name: str, role: str, *, expires_at: datetime | None = None) -> NewKey:
        """
        Create a key. Its text, `key` of the answer, is shown only now.

        Args:
            name: who or what uses the key; no two keys share a name.
            role: `read`, `review`, `write`, `train` or `admin`; each includes those before it.
            expires_at: the moment from which the key is refused, with a time zone.

        Raises:
            Refused: The name is taken.
        """
        request = KeyRequest(name=name, role=Role(role), expires_at=expires_at)
        return read_answer(
            NewKey, self._send_json("POST", "/keys", request.model_dump(mode="json"))
        )

    def revoke_key(self, key: str | int) -> KeyOut:
        """
        Revoke a key, by its name or id: it is refused within two seconds.

        Raises:
            Refused: There is no such key.
        """
        path = f"/keys/{quote(str(key), safe='')}"
        return read_answer(KeyOut, self._send(self._http.build_request("DELETE", path)))

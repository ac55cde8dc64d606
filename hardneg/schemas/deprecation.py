"""
The mark of fields that are answered under their old names, too, for one release.

Such a field is a computed one. Its `type: ignore[prop-decorator]` is the one that pydantic's
documentation gives: mypy supports no decorator above `@property`.
"""

from pydantic.config import JsonDict

# Not pydantic's own `deprecated=`: it warns on every read of the field, and answering reads it.
DEPRECATED: JsonDict = {"deprecated": True}

"""The reference of the HTTP API, from the OpenAPI document that the service itself serves."""

from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any

from service.app import create_app
from service.settings import Settings

Schema = Mapping[str, Any]  # a piece of a JSON document

COMMON_STATUSES = ("401", "422")  # of every call; the page says so once
LAST_TAG = "operation"


def operations() -> str:
    """Return a section of Markdown for each tag, and in it one for each call."""
    document = create_app(Settings()).openapi()
    by_tag: dict[str, list[str]] = {}
    for path, calls in document["paths"].items():
        for method, call in calls.items():
            (tag,) = call["tags"]
            by_tag.setdefault(tag, []).append(_call(method.upper(), path, call, document))
    by_tag[LAST_TAG] = by_tag.pop(LAST_TAG)
    sections = [f"## {tag.capitalize()}\n\n" + "\n".join(calls) for tag, calls in by_tag.items()]
    return "\n".join([*sections, _schemas(document)])


def _call(method: str, path: str, call: Schema, document: Schema) -> str:
    parts = [f"### `{method} {path}`\n", call.get("description", call["summary"]) + "\n"]
    parameters = [*call.get("parameters", []), *_form_fields(call, document)]
    if parameters:
        parts += ["| parameter | in | type | |", "| --- | --- | --- | --- |"]
        parts += [_parameter(parameter) for parameter in parameters]
        parts.append("")
    parts.append("\n".join(_answers(call)) + "\n")
    return "\n".join(parts)


def _form_fields(call: Schema, document: Schema) -> Iterator[Schema]:
    """Yield what the body holds in the shape of a parameter."""
    for media_type, content in call.get("requestBody", {}).get("content", {}).items():
        schema = content["schema"]
        name = schema.get("$ref", "").rpartition("/")[2]
        if media_type == "application/json" or not name:
            yield {"name": "body", "in": media_type, "schema": schema}
            continue
        form = document["components"]["schemas"][name]
        for field, part in form["properties"].items():
            is_required = field in form.get("required", [])
            yield {"name": field, "in": "form", "schema": part, "required": is_required}


def _parameter(parameter: Schema) -> str:
    schema = parameter["schema"]
    text = parameter.get("description") or schema.get("description", "")
    if parameter.get("required"):
        text = f"**Required.** {text}"
    elif schema.get("default") not in (None, ""):
        text = f"{text} Default: `{schema['default']}`."
    return f"| `{parameter['name']}` | {parameter['in']} | {_type(schema)} | {text.strip()} |"


def _answers(call: Schema) -> Iterator[str]:
    for status, answer in sorted(call["responses"].items()):
        if status in COMMON_STATUSES:
            continue
        shapes = [
            _type(content.get("schema", {})) for content in answer.get("content", {}).values()
        ]
        shape = f": {', '.join(filter(None, shapes))}" if any(shapes) else ""
        text = answer["description"].replace("Successful Response", HTTPStatus(int(status)).phrase)
        yield f"- **{status}** {text}{shape}"


def _schemas(document: Schema) -> str:
    parts = ["## Shapes\n"]
    for name, schema in sorted(document["components"]["schemas"].items()):
        if name.startswith("Body_"):  # the forms above
            continue
        parts.append(f"### {name}\n")
        if "description" in schema:
            parts.append(schema["description"] + "\n")
        if "enum" in schema:
            parts.append("One of " + ", ".join(f"`{value}`" for value in schema["enum"]) + ".\n")
        if schema.get("properties"):
            parts += ["| field | type | |", "| --- | --- | --- |"]
            parts += [
                f"| `{field}` | {_type(part)} | {part.get('description', '')} |"
                for field, part in schema["properties"].items()
            ]
            parts.append("")
    return "\n".join(parts)


def _type(schema: Schema) -> str:
    """Return a schema in words, with links to the shapes that it names."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    for combined in ("anyOf", "oneOf", "allOf"):
        if combined in schema:
            return " or ".join(filter(None, map(_type, schema[combined])))
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {})) or 'values'}"
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "contentMediaType" in schema or schema.get("format") == "binary":
        return "file"
    return f"{schema.get('type', '')}{_range(schema)}"


def _range(schema: Schema) -> str:
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    high = schema.get("maximum", schema.get("exclusiveMaximum"))
    if low is None or high is None or high > 2**53:
        return ""
    return f" {low:,} to {high:,}"

"""
The entries of `docs/reference/settings.md` and of the Helm chart's schema, one for each setting.

    python -m docsite.settings_page    # write every entry again; the order of the page stays
"""

import json
import re
import textwrap
from pathlib import Path

from service.settings import Settings

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "reference" / "settings.md"
CHART_SCHEMA = ROOT / "chart" / "values.schema.json"
SET_BY_THE_CHART = {
    *("data_dir", "database_url", "blob_url", "api_key", "webhook_secret"),
    "oidc_client_secret",
    *("host", "port", "embedded_worker", "metrics_port"),
}
WIDTH = 110  # columns
ENTRY = re.compile(r"^### `HARDNEG_(\w+)`\n.*?(?=^#|\Z)", re.MULTILINE | re.DOTALL)


def entry(name: str) -> str:
    """Return the heading, default and description of one setting as Markdown."""
    field = Settings.model_fields[name]
    text = f"Default: {_shown(field.default)}. {field.description}"
    lines = textwrap.wrap(text, WIDTH, break_long_words=False, break_on_hyphens=False)
    return "\n".join([f"### `HARDNEG_{name.upper()}`", *lines, "", ""])


def settings_named(page: str) -> list[str]:
    """Return the names of the settings that have an entry, in the order of the page."""
    return [match[1].lower() for match in ENTRY.finditer(page)]


def renew(page: str) -> str:
    """Return the page with every entry as the code has it; new settings come last."""
    renewed = ENTRY.sub(lambda match: _entry_or_nothing(match[1].lower()), page)
    missing = [name for name in Settings.model_fields if name not in settings_named(page)]
    return "\n\n".join(part.rstrip() for part in [renewed, *map(entry, missing)]) + "\n"


def renew_schema(schema: str) -> str:
    """Return the chart's schema with every setting that a user of the chart may set."""
    renewed = json.loads(schema)
    renewed["properties"]["settings"]["properties"] = {
        f"HARDNEG_{name.upper()}": {"$ref": "#/$defs/setting"}
        for name in sorted(Settings.model_fields.keys() - SET_BY_THE_CHART)
    }
    return json.dumps(renewed, indent=2) + "\n"


def _entry_or_nothing(name: str) -> str:
    return entry(name) if name in Settings.model_fields else ""


def _shown(default: object) -> str:
    if default is None or default == "":
        return "empty"
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


if __name__ == "__main__":
    for file, renew_file in ((PAGE, renew), (CHART_SCHEMA, renew_schema)):
        file.write_text(renew_file(file.read_text(encoding="utf-8")), encoding="utf-8")

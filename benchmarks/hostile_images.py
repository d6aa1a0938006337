"""How much memory and time the worst photos take in the function's process.

`python -m benchmarks.hostile_images --bundle MODEL` makes hostile files once (some minutes,
1.5 GB), serves them as S3 would, and has one warm classify function label them one after
another: real boto3, model and preprocessing; tables are dictionaries. Of each file it prints the
process's highest memory while it was labelled (the kernel's VmHWM), the time, and what was said.
Linux only. Exits with 1 if one took 300 MB or more, or was answered by another exception.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import threading
from contextlib import redirect_stdout
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from time import perf_counter
from urllib.parse import quote

from benchmarks import hostile_files
from benchmarks.processes import peak_mb
from infra.layers import PROCESS

ROOT = Path(__file__).resolve().parent.parent
FILES = ROOT / "build" / "hostile"
MOST_MB = 300
SHOWN_MB, SHOWN_S = 250, 1.0


class Bucket(SimpleHTTPRequestHandler):
    """S3's GetObject for the files of a folder: GET /<bucket>/<key>."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # the body follows its headers at once, not after 40 ms

    def translate_path(self, path: str) -> str:
        """The file behind an object's address."""
        return super().translate_path("/" + path.split("/", 2)[2])

    def log_message(self, *_: object) -> None:
        """Quiet: results are printed by whoever asked."""


def main() -> int:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path, required=True, help="of `advisor train`")
    parser.add_argument("--files", type=Path, default=FILES)
    parser.add_argument("--function", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.function:
        _function(given.bundle)
        return 0
    files = hostile_files.write(given.files)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Bucket, directory=str(given.files)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    environment = (
        os.environ
        | PROCESS
        | {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}",
            "AWS_ACCESS_KEY_ID": "x",
            "AWS_SECRET_ACCESS_KEY": "x",
            "AWS_DEFAULT_REGION": "eu-central-1",
            "POWERTOOLS_LOG_LEVEL": "CRITICAL",
        }
    )
    child = subprocess.run(
        [sys.executable, "-m", __spec__.name, "--function", "--bundle", str(given.bundle)],
        input="\n".join(path.name for path in files),
        env=environment,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    server.shutdown()
    rows = [json.loads(line) for line in child.stdout.splitlines()]
    warm, *rows = rows
    print(f"warm function, no photo yet: {warm['mb']:.0f} MB")
    shown = [row for row in rows if row["mb"] > SHOWN_MB or row["s"] > SHOWN_S or row["failed"]]
    for row in sorted(shown, key=lambda row: -row["mb"]):
        print(f"{row['mb']:6.0f} MB {row['s']:6.2f} s  {row['name']:40} {row['said']}")
    worst, slowest = (max(rows, key=lambda row: row[unit]) for unit in ("mb", "s"))
    labelled = sum(row["said"] == "labelled" for row in rows)
    print(f"{len(rows)} of {len(files)} files, {labelled} labelled")
    print(f"most memory: {worst['mb']:.0f} MB, {worst['name']}; goal: below {MOST_MB} MB")
    print(f"longest: {slowest['s']:.2f} s, {slowest['name']}")
    failed = any(row["failed"] for row in rows) or len(rows) < len(files)
    return int(failed or worst["mb"] >= MOST_MB)


def _function(bundle: Path) -> None:
    """The function's process: a file's name on stdin, a line of JSON on stdout."""
    from advisor.aws.clients import client, table
    from advisor.aws.watching import PhotoWatch
    from advisor.vision.classifier import Classifier
    from benchmarks.services import stand_ins
    from functions.classify.handler import label_photos

    client("sqs")
    table("labels")
    classifier = Classifier.load(bundle)
    services, rows = stand_ins(classifier)
    say = sys.stdout.write
    say(json.dumps({"mb": peak_mb("self")}) + "\n")
    for line in sys.stdin:
        name = line.strip()
        record = {
            "eventName": "ObjectCreated:Put",
            "s3": {"bucket": {"name": "uploads"}, "object": {"key": quote(name)}},
        }
        message = {"messageId": name, "body": json.dumps({"Records": [record]})}
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # forget the last peak
        start = perf_counter()
        with redirect_stdout(sys.stderr), PhotoWatch.of("classify") as watch:  # it writes metrics
            failed = bool(label_photos([message], services, watch)["batchItemFailures"])
        took = perf_counter() - start
        row = rows.last
        said = "failed" if failed else row.reason or row.status
        result = {"name": name, "mb": peak_mb("self"), "s": took, "said": said, "failed": failed}
        say(json.dumps(result) + "\n")


if __name__ == "__main__":
    raise SystemExit(main())

"""Fills in length and sha256 of every published file, on a machine with a network.

    python tools/fill_checksums.py            # only files that have none
    python tools/fill_checksums.py --all      # fetch all again, and say what differs

Each file is read once and not kept. The table is src/vitascope/models/hub/checksums.py; after each
file it is written anew, so an interrupted run goes on where it stopped. A file that is gone is
named, and keeps what it had. Exit 1: some file has another checksum than before, and is unchanged
in the table (look into it; with --replace its new checksum is taken).
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import urllib.error
import urllib.request
from pathlib import Path

from vitascope.files import LARGEST
from vitascope.models.hub.checksums import CHECKSUMS
from vitascope.models.registry import list_cards

TABLE = Path(__file__).resolve().parents[1] / "src/vitascope/models/hub/checksums.py"


def published_files() -> list[str]:
    """Addresses of all files that the cards name, each once."""
    found: dict[str, None] = {}
    for card in list_cards():
        found |= dict.fromkeys(place.url for place in (*card.weights, *card.pretraining))
    return list(found)


def measure(url: str) -> tuple[int, str]:
    """Bytes and sha256 of the file at an address.

    Raises:
        OSError: it cannot be fetched, or is cut.
    """
    digest, size = hashlib.sha256(), 0
    request = urllib.request.Request(url, headers={"User-Agent": "vitascope"})
    with urllib.request.urlopen(request, timeout=60) as response:
        expected = response.headers.get("Content-Length")
        while chunk := response.read(1 << 20):
            digest.update(chunk)
            size += len(chunk)
            if size > LARGEST:
                raise OSError(f"more than {LARGEST} bytes")
    if expected is not None and int(expected) != size:
        raise OSError(f"cut: {size} of {expected} bytes")
    return size, digest.hexdigest()


def write(table: dict[str, tuple[int, str]], path: Path = TABLE) -> None:
    """Replaces the table in the module, and leaves the rest of it as it is."""
    text = path.read_text(encoding="utf-8")
    head = text[: text.index("CHECKSUMS: ")]
    rows = "".join(
        f'    "{url}": (\n        {size},\n        "{digest}",\n    ),\n'
        for url, (size, digest) in sorted(table.items())
    )
    body = f"{{\n{rows}}}" if rows else "{}"
    part = path.with_name(f".{path.name}.part")
    part.write_text(f"{head}CHECKSUMS: dict[str, tuple[int, str]] = {body}\n", encoding="utf-8")
    part.replace(path)


def main(arguments: list[str], path: Path = TABLE, urls: list[str] | None = None) -> int:
    """Runs the script; the exit code is 1 where a file has changed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--all", action="store_true", help="fetch files with a checksum again")
    parser.add_argument("--replace", action="store_true", help="take checksums that differ")
    options = parser.parse_args(arguments)
    table, changed = dict(CHECKSUMS), 0
    urls = published_files() if urls is None else urls
    for number, url in enumerate(urls, 1):
        if url in table and not (options.all or options.replace):
            continue
        try:
            found = measure(url)
        except (OSError, urllib.error.URLError) as error:
            print(f"{number}/{len(urls)} {url}: cannot be fetched ({error})", flush=True)
            continue
        if table.get(url, found) != found and not options.replace:
            print(f"{number}/{len(urls)} {url}: WAS {table[url]}, IS {found}", flush=True)
            changed += 1
            continue
        table[url] = found
        write(table, path)
        print(f"{number}/{len(urls)} {url}: {found[0]} bytes, {found[1]}", flush=True)
    print(f"{sum(url in table for url in urls)} of {len(urls)} files have a checksum")
    return int(changed > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""The records of docs/results: one compressed file, its digest, and the reports that are made from it.

    python tools/records.py unpack runs            # runs/best-tuned, ...: to read, or to go on with
    python tools/records.py reports                # make docs/results/*/report.md anew
    python tools/records.py pack runs/best-tuned   # put these in

The archive holds ``experiment.json``, ``contamination.json`` and the ``result.json`` of every run. The same
records give the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import lzma
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

RESULTS = Path(__file__).parents[1] / "docs" / "results"
ARCHIVE = "records.tar.xz"


def contents(results: Path) -> dict[str, bytes]:
    """Name and content of every record.

    Raises:
        SystemExit: the archive is not the one of the digest beside it.
    """
    data = (results / ARCHIVE).read_bytes()
    expected = (results / f"{ARCHIVE}.sha256").read_text(encoding="ascii").split()[0]
    if hashlib.sha256(data).hexdigest() != expected:
        raise SystemExit(f"{results / ARCHIVE} is damaged: its SHA-256 is not the one in {ARCHIVE}.sha256")
    found = {}
    with tarfile.open(fileobj=io.BytesIO(lzma.decompress(data))) as archive:
        for member in archive:
            stream = archive.extractfile(member)
            if stream is not None:
                found[member.name] = stream.read()
    return found


def write(results: Path, records: dict[str, bytes]) -> None:
    """Write the archive and its digest; the same records give the same bytes."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in sorted(records):
            member = tarfile.TarInfo(name)
            member.size = len(records[name])
            archive.addfile(member, io.BytesIO(records[name]))
    data = lzma.compress(plain.getvalue(), preset=9 | lzma.PRESET_EXTREME)
    (results / ARCHIVE).write_bytes(data)
    digest = f"{hashlib.sha256(data).hexdigest()}  {ARCHIVE}\n"
    (results / f"{ARCHIVE}.sha256").write_text(digest, encoding="ascii")


def unpack(results: Path, out: Path) -> list[Path]:
    """Write the records below ``out``; returns the folders of results.

    Raises:
        SystemExit: one of the folders is there already, or a name leads out of ``out``.
    """
    records = contents(results)
    folders = sorted({out / name.split("/", 1)[0] for name in records})
    for folder in folders:
        if folder.exists():
            raise SystemExit(f"{folder} exists; choose another folder")
    for name, content in records.items():
        path = out / name
        if not path.resolve().is_relative_to(out.resolve()):
            raise SystemExit(f"{name} leads out of {out}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folders


def pack(results: Path, folders: list[Path]) -> None:
    """Take the records of these folders in."""
    records = contents(results) if (results / ARCHIVE).exists() else {}
    for folder in folders:
        name = folder.resolve().name
        records = {key: value for key, value in records.items() if not key.startswith(f"{name}/")}
        wanted = ["experiment.json", "contamination.json", "runs/*/result.json"]
        for path in (found for pattern in wanted for found in folder.glob(pattern)):
            records[f"{name}/{path.relative_to(folder).as_posix()}"] = path.read_bytes()
        for path in folder.glob("report*"):
            if path.suffix in (".md", ".svg") and path.parent.resolve() != (results / name).resolve():
                (results / name).mkdir(exist_ok=True)
                shutil.copy(path, results / name)
    write(results, records)


def reports(results: Path) -> None:
    """Make every report anew."""
    with tempfile.TemporaryDirectory() as place:
        for folder in unpack(results, Path(place)):
            command = [sys.executable, "-m", "bioner_fast", "experiment", "report", "--out", str(folder)]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            for path in sorted(folder.glob("report*")):
                if path.suffix in (".md", ".svg"):
                    print(shutil.copy(path, results / folder.name))  # noqa: T201


def main() -> None:
    """Do what the arguments say."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("action", choices=["unpack", "reports", "pack"])
    parser.add_argument("folders", nargs="*", type=Path, help="where to unpack to; what to pack")
    parser.add_argument("--results", type=Path, default=RESULTS, help="default: docs/results")
    options = parser.parse_args()
    if options.action == "reports":
        reports(options.results)
    elif options.action == "pack":
        pack(options.results, options.folders)
    elif len(options.folders) != 1:
        parser.error("unpack: name one folder")
    else:
        unpack(options.results, options.folders[0])


if __name__ == "__main__":
    main()

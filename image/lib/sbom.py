"""sbom.py ROOT LOCK OUT NAME: the bill of materials, SPDX 2.3 as JSON, to standard output.

In it: each Debian package with version, SHA-256 of the package as it was downloaded (from the lock) and licences, read from its
copyright file where that is machine-readable; our own packages; and each Rust crate that our programs are made of, with the
checksum of Cargo.lock and its licence. The same build gives the same bytes.
"""

import datetime
import hashlib
import json
import os
import re
import subprocess
import sys
import tomllib

# Names of Debian's copyright files (machine-readable copyright format 1.0) to SPDX's identifiers. Others become LicenseRef-.
LICENCES = {
    "apache-2": "Apache-2.0",
    "apache-2.0": "Apache-2.0",
    "artistic": "Artistic-1.0-Perl",
    "artistic-2": "Artistic-2.0",
    "bsd-2-clause": "BSD-2-Clause",
    "bsd-3-clause": "BSD-3-Clause",
    "bsd-4-clause": "BSD-4-Clause",
    "bsd-2-clauses": "BSD-2-Clause",
    "bsd-3-clauses": "BSD-3-Clause",
    "bsl-1.0": "BSL-1.0",
    "cc0": "CC0-1.0",
    "cc0-1.0": "CC0-1.0",
    "curl": "curl",
    "expat": "MIT",
    "mit": "MIT",
    "isc": "ISC",
    "zlib": "Zlib",
    "openssl": "OpenSSL",
    "public-domain": "LicenseRef-public-domain",
    "gfdl-1.2+": "GFDL-1.2-or-later",
    "gfdl-1.3+": "GFDL-1.3-or-later",
    "gpl-1": "GPL-1.0-only",
    "gpl-1+": "GPL-1.0-or-later",
    "gpl-2": "GPL-2.0-only",
    "gpl-2.0": "GPL-2.0-only",
    "gpl-2+": "GPL-2.0-or-later",
    "gpl-2.0+": "GPL-2.0-or-later",
    "gpl-3": "GPL-3.0-only",
    "gpl-3+": "GPL-3.0-or-later",
    "gpl-3.0+": "GPL-3.0-or-later",
    "lgpl-2": "LGPL-2.0-only",
    "lgpl-2+": "LGPL-2.0-or-later",
    "lgpl-2.1": "LGPL-2.1-only",
    "lgpl-2.1+": "LGPL-2.1-or-later",
    "lgpl-3": "LGPL-3.0-only",
    "lgpl-3+": "LGPL-3.0-or-later",
    "lgpl-3.0+": "LGPL-3.0-or-later",
    "mpl-2.0": "MPL-2.0",
    "psf-2": "PSF-2.0",
    "unicode": "Unicode-DFS-2016",
}


def reference(name: str) -> str:
    """A licence's name as an SPDX expression's operand."""
    known = LICENCES.get(name.lower())
    return known or "LicenseRef-" + re.sub(r"[^A-Za-z0-9.-]+", "-", name).strip("-")


def debian_licences(root: str, package: str) -> list[str]:
    """The licences that the package's copyright file names, if it is machine-readable; else none."""
    path = os.path.join(root, "usr/share/doc", package, "copyright")
    # A folder, or its file, may be a link to that of another package of the same source.
    folder = os.path.join(root, "usr/share/doc", package)
    if os.path.islink(folder):
        path = os.path.join(root, "usr/share/doc", os.readlink(folder), "copyright")
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            text = file.read()
    except OSError:
        return []
    if "copyright-format" not in text[:400].lower():
        return []
    names: set[str] = set()
    for line in re.findall(r"^License:[ \t]*(.+)$", text, re.MULTILINE):
        for part in re.split(r"\s+(?:and|or)\s+|,|\s+and/or\s+|\|", line):
            part = re.sub(r"\s+with\s+.*$", "", part.strip(" .()"), flags=re.IGNORECASE)
            if part and len(part) < 60:
                names.add(reference(part))
    return sorted(names)


def identifier(kind: str, name: str) -> str:
    return f"SPDXRef-{kind}-" + re.sub(r"[^A-Za-z0-9.-]", "-", name)


def package(spdx: str, name: str, version: str, licence: str, where: str, purl: str, sha256: str | None) -> dict:
    entry = {
        "SPDXID": spdx,
        "name": name,
        "versionInfo": version,
        "downloadLocation": where,
        "filesAnalyzed": False,
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": licence,
        "copyrightText": "NOASSERTION",
        "externalRefs": [{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": purl}],
    }
    if sha256:
        entry["checksums"] = [{"algorithm": "SHA256", "checksumValue": sha256}]
    return entry


def debian(root: str, lock: str) -> list[dict]:
    entries = []
    with open(lock, encoding="utf-8") as file:
        for line in file:
            if line.startswith("#"):
                continue
            name, version, arch, sha256, _, archive, path = line.split()
            licence = " AND ".join(debian_licences(root, name)) or "NOASSERTION"
            purl = f"pkg:deb/debian/{name}@{version}?arch={arch}&distro=debian-12".replace("+", "%2B")
            # Where in Debian's archives, whatever the mirror.
            where = f"https://snapshot.debian.org/package/{name}/{version}/".replace("+", "%2B")
            entry = package(identifier("deb", name), name, version, licence, where, purl, sha256)
            entry["sourceInfo"] = f"{archive}: {path}"
            entries.append(entry)
    return entries


def ours(folder: str, version: str) -> list[dict]:
    entries = []
    for deb in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
        if deb.endswith(".deb"):
            with open(os.path.join(folder, deb), "rb") as file:
                sha256 = hashlib.sha256(file.read()).hexdigest()
            name = deb.split("_")[0]
            purl = f"pkg:generic/{name}@{version}".replace("+", "%2B")
            entries.append(package(identifier("tandem", name), name, version, "Apache-2.0", "NOASSERTION", purl, sha256))
    return entries


def programs(top: str) -> list[str]:
    with open(os.path.join(top, "image/programs.list"), encoding="utf-8") as file:
        return [line.strip() for line in file if line.strip() and not line.startswith("#")]


def crates(top: str) -> list[dict]:
    """What our programs link: cargo says which crates and their licences, Cargo.lock their checksums."""
    with open(os.path.join(top, "Cargo.lock"), "rb") as file:
        sums = {(p["name"], p["version"]): p.get("checksum") for p in tomllib.load(file)["package"]}
    rows: set[tuple[str, str, str]] = set()
    for program in programs(top):
        command = [os.environ.get("CARGO", "cargo"), "tree", "--locked", "--package", program, "--edges", "normal", "--prefix", "none"]
        command += ["--target", "x86_64-unknown-linux-gnu", "--format", "{p}\t{l}"]
        output = subprocess.run(command, cwd=top, check=True, capture_output=True, text=True).stdout
        for line in output.splitlines():
            what, _, licence = line.partition("\t")
            name, _, version = what.partition(" ")
            rows.add((name, version.split(" ")[0].lstrip("v"), licence.removesuffix(" (*)").strip()))
    entries = []
    for name, version, licence in sorted(rows):
        sha256 = sums.get((name, version))
        if sha256:
            licence = licence.replace("/", " OR ") or "NOASSERTION"
            where = f"https://crates.io/crates/{name}/{version}"
            purl = f"pkg:cargo/{name}@{version}".replace("+", "%2B")
            entries.append(package(identifier("crate", f"{name}-{version}"), name, version, licence, where, purl, sha256))
    return entries


def main(root: str, lock: str, out: str, name: str) -> None:
    top = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    version = os.environ["VERSION"]
    created = datetime.datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    with open(os.path.join(out, f"{name}.rootfs.squashfs"), "rb") as file:
        system = hashlib.file_digest(file, "sha256").hexdigest()
    image = package("SPDXRef-image", "tandem", version, "NOASSERTION", "NOASSERTION", f"pkg:generic/tandem@{version}".replace("+", "%2B"), system)
    image["comment"] = f"The checksum is that of {name}.rootfs.squashfs, the system in a slot."
    parts = debian(root, lock) + ours(os.path.join(out, "debs"), version) + crates(top)
    references = sorted({r for p in parts for r in re.findall(r"LicenseRef-[A-Za-z0-9.-]+", p["licenseDeclared"])})
    document = {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": name,
        "documentNamespace": f"https://spdx.org/spdxdocs/{name}-{system}",
        "creationInfo": {"created": created, "creators": ["Tool: image/build"]},
        "documentDescribes": ["SPDXRef-image"],
        "packages": [image] + parts,
        "relationships": [{"spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES", "relatedSpdxElement": "SPDXRef-image"}]
        + [{"spdxElementId": "SPDXRef-image", "relationshipType": "CONTAINS", "relatedSpdxElement": p["SPDXID"]} for p in parts],
        "hasExtractedLicensingInfos": [
            {"licenseId": r, "name": r.removeprefix("LicenseRef-"), "extractedText": "As the package's file /usr/share/doc/PACKAGE/copyright says."}
            for r in references
        ],
    }
    json.dump(document, sys.stdout, indent=1, sort_keys=True)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main(*sys.argv[1:5])

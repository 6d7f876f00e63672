"""`python -m tests.audit`: are vulnerabilities known in the packages that Turnstile runs on?

Fails for a vulnerability, and for an audit that went wrong. What could not be audited, since the
service was not reached or did not know it, is said, and does not fail: a build must not depend on
the network.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

REQUIREMENTS = Path(__file__).parents[1] / "requirements.txt"
UNREACHED = ("requests.exceptions.", "ServiceError", "ConnectionError", "Tip: your network")
"""What pip-audit's errors contain when it is the service that does not answer."""

Verdict = tuple[int, str]
"""An exit code, and what to say."""


def verdict(report: str, errors: str) -> Verdict:
    """What follows from the JSON and the errors that pip-audit printed."""
    try:
        packages: list[dict[str, Any]] = json.loads(report)["dependencies"]
    except ValueError:
        if any(sign in errors for sign in UNREACHED):
            return 0, "NOT AUDITED: the service that knows vulnerabilities was not reached."
        return 1, f"The audit failed:\n{errors}"
    found = [
        f"{package['name']} {package['version']}: {fault['id']}, mended in "
        f"{', '.join(fault['fix_versions']) or 'no version'}"
        for package in packages
        for fault in package.get("vulns", ())
    ]
    if found:
        return 1, "\n".join(["Vulnerabilities are known:", *found])
    unknown = [package["name"] for package in packages if "skip_reason" in package]
    if len(unknown) == len(packages):
        return 0, f"NOT AUDITED: the service that was asked knows none of {len(packages)} packages."
    if unknown:
        return 0, f"No vulnerabilities are known. NOT AUDITED: {', '.join(unknown)}."
    return 0, f"No vulnerabilities are known in {len(packages)} packages."


def main() -> int:
    command = ["pip_audit", "--format", "json", "--progress-spinner", "off"]
    source = ["--disable-pip", "--require-hashes", "--requirement", str(REQUIREMENTS)]
    done = subprocess.run(
        [sys.executable, "-m", *command, *source], capture_output=True, text=True, check=False
    )
    code, said = verdict(done.stdout, done.stderr)
    print(said)
    return code


if __name__ == "__main__":
    sys.exit(main())

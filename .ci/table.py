"""Print what each lane did: lane, passed, failed, skipped; exit 1 unless all of them passed and none was silent."""

import pathlib
import sys
import xml.etree.ElementTree as ET


def counts(junit: pathlib.Path) -> tuple[int, int, int]:
    """(passed, failed, skipped) of a JUnit file."""
    suites = list(ET.parse(junit).getroot().iter("testsuite"))
    total, failed, skipped = (
        sum(int(suite.get(key, "0")) for suite in suites for key in keys)
        for keys in (("tests",), ("failures", "errors"), ("skipped",))
    )
    return total - failed - skipped, failed, skipped


def main(folder: pathlib.Path, lanes: list[str]) -> int:
    sums = [0, 0, 0]
    print(f"\n{'lane':<10}{'passed':>8}{'failed':>8}{'skipped':>9}{'seconds':>9}")
    for lane in lanes:
        status = folder / f"{lane}.status"
        code, seconds = status.read_text().split()[1:] if status.exists() else ("1", "0")
        junit = folder / f"{lane}.xml"
        passed, failed, skipped = counts(junit) if junit.exists() else (int(code == "0"), 0, 0)
        if not failed and (code != "0" or not passed):
            failed = 1  # it broke outside its tests, or had none to run
        print(f"{lane:<10}{passed:>8}{failed:>8}{skipped:>9}{seconds:>9}")
        sums = [a + b for a, b in zip(sums, (passed, failed, skipped), strict=True)]
    print(f"\n{sums[0]} passed, {sums[1]} failed, {sums[2]} skipped")
    return 1 if sums[1] or not sums[0] else 0


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1]), sys.argv[2:]))

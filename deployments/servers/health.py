"""`python -m deployments.servers.health URL`: exit code 0 when it answers 200; what containers are checked with."""

import sys
from urllib.request import urlopen


def main(url: str) -> int:
    try:
        with urlopen(url, timeout=5) as reply:
            return int(reply.status != 200)
    except OSError as error:
        print(f"{url}: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))

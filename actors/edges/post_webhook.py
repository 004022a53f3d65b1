"""Posts one notification: `python -I -S post_webhook.py`. A program; no module imports it.

Standard input is JSON: `url`, and `body` as text. It tries `TRIES` times while the fault may pass. It ends with 0, or
with 1 and the reason as the last line of standard error. A redirect is a fault: it could lead anywhere. The caller
limits its time.
"""

import http.client
import json
import sys
import time
import urllib.error
import urllib.request

TRIES = 3
TRY_TIMEOUT_S = 4.0
PAUSE_S = 0.5
_MAY_PASS = (408, 425, 429)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        """Follows none: the answer remains an error with the redirect's status."""


def main() -> int:
    """Returns the exit status."""
    order = json.load(sys.stdin)
    headers = {"Content-Type": "application/json", "User-Agent": "loop"}
    request = urllib.request.Request(order["url"], order["body"].encode(), headers, method="POST")  # noqa: S310 - http alone
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        _NoRedirect(),
    ):
        opener.add_handler(handler)
    reason = ""
    for number in range(TRIES):
        if number:
            time.sleep(PAUSE_S * 2**number)
        try:
            opener.open(request, timeout=TRY_TIMEOUT_S).close()
        except urllib.error.HTTPError as error:
            reason = f"it answered with HTTP {error.code}"
            if 300 <= error.code < 400:
                reason += ", a redirect: give the address that it leads to"
            if error.code < 500 and error.code not in _MAY_PASS:
                break
        except (OSError, ValueError, http.client.HTTPException) as error:
            reason = str(getattr(error, "reason", error)) or type(error).__name__
        else:
            return 0
    sys.stderr.write(f"{reason}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())

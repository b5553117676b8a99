"""The yardstick: decodes every line with the standard library and sums the usage, nothing else."""

import json
import sys


def main() -> None:
    """Prints {"requests", "input_tokens", "output_tokens"} of the log named on the command line."""
    requests = sent = written = 0
    with open(sys.argv[1], "rb") as log:
        for line in log:
            usage = json.loads(line)["response"]["usage"]
            requests += 1
            sent += usage["prompt_tokens"]
            written += usage["completion_tokens"]
    print(json.dumps({"requests": requests, "input_tokens": sent, "output_tokens": written}))


if __name__ == "__main__":
    main()

"""`python -m demo`: the exit status, and one line that says what went wrong.

Exit status: 0 if everything was as told, 1 if not, 128 + number after a signal (130: Ctrl-C). Whatever happens, except SIGKILL,
no process and no file stays behind.
"""

import os
import sys

from demo.interrupt import Interrupted, Waiter

__all__ = ["main"]


def main() -> int:
    """Show the story, and return the exit status."""
    # From here on, a signal interrupts nothing but waiting, so this comes before the longer imports.
    waiter = Waiter()
    from demo.errors import DemoError
    from demo.screen import Screen
    from demo.story import tell

    try:
        tell(Screen(sys.stdout, os.environ), waiter)
    except Interrupted as exc:
        return _give_up("interrupted; all is cleaned up", exc.exit_status)
    except BrokenPipeError:
        return _give_up("nobody reads the output", 1)
    except (DemoError, OSError) as exc:
        return _give_up(str(exc), 1)
    finally:
        waiter.ignore()
    return 0


def _give_up(reason: str, exit_status: int) -> int:
    try:
        sys.stdout.flush()
    except OSError:
        # The interpreter flushes again at exit, and would complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.stderr.write(f"demo: {' '.join(reason.split())}\n")
    return exit_status


if __name__ == "__main__":
    sys.exit(main())

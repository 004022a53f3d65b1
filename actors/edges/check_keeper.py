"""The parent of one check command: `python -I -S check_keeper.py FD COMMAND`. A program; no module imports it.

It starts the command with `/bin/sh -c`, writes its exit status to FD, and stays while it has children. As a child
subreaper (Linux) it inherits what the command left behind, daemons included. So its tree is complete, and no zombie
remains. When the reader of FD is gone, killed for instance, it ends itself and the command's process group: nobody
waits for the check any more. It imports little, since it starts once per check.
"""

import _thread
import os
import select
import signal
import sys

PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h


def main() -> None:
    """Returns when no visible process of the command is left."""
    status_fd, command = int(sys.argv[1]), sys.argv[2]
    os.set_inheritable(status_fd, False)
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    # The interpreter ignores these two, and the command would inherit that.
    usual = [signal.SIGPIPE, signal.SIGXFSZ]
    child = os.posix_spawn("/bin/sh", ["/bin/sh", "-c", command], os.environ, setsigdef=usual)
    _thread.start_new_thread(_end_with_the_reader, (os.dup(status_fd),))
    while True:
        ended, status = os.wait()  # includes what the command left behind, and what ends now
        if ended == child:
            break
    os.write(status_fd, str(os.waitstatus_to_exitcode(status)).encode())
    os.close(status_fd)
    while True:
        try:
            os.wait()
        except ChildProcessError:
            return


def _end_with_the_reader(status_fd: int) -> None:
    watch = select.poll()
    watch.register(status_fd, 0)  # errors are reported in any case: the other end is closed
    if any(found & (select.POLLERR | select.POLLHUP) for _, found in watch.poll()):
        os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()

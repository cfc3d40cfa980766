"""Run a command, as root, on a network of its own with a loopback only: ``python -m tests.kit.own_network COMMAND``."""

import ctypes
import fcntl
import os
import socket
import struct
import sys

_NEW_NETWORK = 0x40000000  # CLONE_NEWNET, linux/sched.h
_SET_FLAGS = 0x8914  # SIOCSIFFLAGS, linux/sockios.h
_UP = 0x1 | 0x40  # IFF_UP, IFF_RUNNING


def main(command: list[str]) -> None:
    """Leave this process's network for a new one and become `command`."""
    if ctypes.CDLL(None, use_errno=True).unshare(_NEW_NETWORK):
        sys.exit(f"no network of our own: {os.strerror(ctypes.get_errno())}")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SET_FLAGS, struct.pack("16sh", b"lo", _UP))
    os.execvp(command[0], command)  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main(sys.argv[1:])

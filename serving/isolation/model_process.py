"""A model process: opens one model, and answers calls about it until the gateway closes the socket."""

import socket


def run(connection: socket.socket) -> None:
    """Serve the gateway at the other end of `connection`; does not return."""
    raise NotImplementedError

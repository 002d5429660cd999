"""A TCP proxy that cuts, delays and starves the connections through it."""

import contextlib
import socket
import threading
import time
from types import TracebackType
from typing import Self


class Proxy:
    """Listens on one port of loopback and passes bytes on to another.

    Args:
        port: where clients come in.
        target: where the bytes go.
    """

    def __init__(self, port: int, target: int) -> None:
        self._port = port
        self._target = target
        self._listener: socket.socket | None = None
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self.bytes_per_turn = 0
        """Passed on per hundredth of a second and direction; 0 is no limit."""

    def start(self) -> None:
        """Lets clients in."""
        listener = socket.create_server(("127.0.0.1", self._port), reuse_port=True)
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def cut(self) -> None:
        """Ends every connection and lets nobody in."""
        if self._listener is not None:
            # A thread that waits in `accept` would keep the port open.
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        with self._lock:
            for each in self._open:
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
            self._open.clear()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
                server = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                return
            with self._lock:
                self._open |= {client, server}
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._pass, args=(source, sink), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(self.bytes_per_turn or 65_536):
                sink.sendall(data)
                if self.bytes_per_turn:
                    time.sleep(0.01)
        for each in (source, sink):
            with contextlib.suppress(OSError):
                each.close()
            with self._lock:
                self._open.discard(each)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.cut()

"""The client library: an application's way to the cluster.

    from confclient import TlsFiles, connect

Asynchronous first; `confclient.sync` has the same names for programs without a loop. See `client.py`.
"""

from confclient.client import Client, Places, connect
from confclient.credentials import TlsFiles
from confclient.errors import ConfservError

__all__ = ["Client", "ConfservError", "Places", "TlsFiles", "connect"]

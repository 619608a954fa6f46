"""The agent's hands: processes, etcd, its list on disk, the Configuration Server."""

"""One network per file, plain torch; nothing here knows of hosts, files or sockets."""

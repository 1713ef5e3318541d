"""OCI images without a daemon: layers, layouts and archives, written to the byte and read without unpacking."""

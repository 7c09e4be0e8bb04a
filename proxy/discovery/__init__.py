"""VMs that are discovered: their sockets appear at paths that fit a `discover` pattern.

    sockets.py     one look at the folders: which sockets there are, and which of them are VMs
    inotify.py     hints from the kernel that something in a folder has changed
    discovery.py   decides when to look, and has a fleet follow what was found

Templates and the VMs of the file go in, VM configurations come out. A look happens in a thread, since a folder may be on a file
system that hangs. Folders are watched before they are read, so a socket that appears in between is not missed.
"""

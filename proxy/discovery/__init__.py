"""VMs that come by themselves: discovery.py has a fleet follow what sockets.py finds when inotify.py hints at a change."""

"""The transport: a QMP proxy that stands between legacy tools and one QEMU, and rewrites their snapshot commands."""

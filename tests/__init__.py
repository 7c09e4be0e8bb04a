"""The tests: one file a source file, a model of QEMU, and integration tests against real QEMU."""

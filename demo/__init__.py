"""What the proxy does, shown on a real QEMU: `python -m demo`. Nothing else in the project depends on it.

story.py tells it on screen.py, with the QEMU and the proxy of vm.py and the legacy tool of wire.py, and raises DemoError as
soon as an answer is not as told. interrupt.py makes sure that a signal never leaves a process or a file behind. prompt.py is
the playground of `./run prompt`, and picture.py, report_picture.py and terminal.py take the pictures in the documentation.
"""

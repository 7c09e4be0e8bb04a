"""The process that atheris fuzzes in: TARGET, and libFuzzer's own arguments. It ends when libFuzzer does."""

import importlib
import sys
import tempfile

import atheris

_PACKAGES = ["audit", "host", "proxy", "shim"]


def main() -> None:
    target, *arguments = sys.argv[1:]
    with atheris.instrument_imports(include=_PACKAGES):
        module = importlib.import_module(f"tests.fuzz.targets.{target}")
    with tempfile.NamedTemporaryFile("w", suffix=".dict") as words:
        for word in filter(None, module.WORDS):
            escaped = "".join(f"\\x{byte:02x}" for byte in word)
            words.write(f'"{escaped}"\n')
        words.flush()
        atheris.Setup([sys.argv[0], f"-dict={words.name}", *arguments], module.check)
        atheris.Fuzz()


if __name__ == "__main__":
    main()

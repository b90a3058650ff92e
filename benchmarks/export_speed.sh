#!/bin/sh
# export_speed.sh [CC] - moe.h beside the code that export_c --code writes; and
# beside libraries of C++ whose sizes are known when they are compiled, where
# RTNEURAL, XSIMD and TINYMIND name the folders of their sources.
cd "$(dirname "$0")" || exit 1
cc=${1:-cc} build=build/export objects=
mkdir -p "$build"
"$cc" -O2 ../examples/export_c.c -o "$build/export_c" &&
    "$cc" -O2 export_speed.c -o "$build/write" || exit 1
for shape in tiny small sparse dense; do
    "$build/write" $shape "$build/$shape.safetensors" || exit 1
    for level in o2 o3; do
        flags=-O2
        [ $level = o2 ] || flags='-O3 -march=native'
        "$build/export_c" --code "$build/$shape.safetensors" ${shape}_$level \
            >"$build/${shape}_$level.c" &&
            "$cc" $flags -c "$build/${shape}_$level.c" \
                -o "$build/${shape}_$level.o" || exit 1
        objects="$objects $build/${shape}_$level.o"
    done
done
peers=
peer() {
    name=$1
    shift
    peers="$peers -D$name"
    objects="$objects $build/$name.o"
    ${CXX:-c++} -std=c++17 -O3 -march=native "$@" -c export_peers.cpp \
        -o "$build/$name.o" || exit 1
}
[ -z "$RTNEURAL" ] ||
    peer RTNEURAL -DRTNEURAL_DEFAULT_ALIGNMENT=32 -DRTNEURAL_USE_XSIMD=1 \
        "-I$XSIMD/include" "-I$RTNEURAL"
[ -z "$TINYMIND" ] ||
    peer TINYMIND -DTINYMIND_ENABLE_FLOAT=1 -DTINYMIND_ENABLE_STD=1 \
        "-I$TINYMIND/cpp"
"$cc" -O2 -DTIMED $peers export_speed.c $objects -lstdc++ -lm -o "$build/speed" &&
    "$build/speed"

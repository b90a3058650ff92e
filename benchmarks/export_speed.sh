#!/bin/sh
# export_speed.sh [CC] - moe.h beside the code that export_c --code writes.
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
"$cc" -O2 -DTIMED export_speed.c $objects -o "$build/speed" && "$build/speed"

#!/bin/sh
# pictures.sh [FOLDER] - the page's pictures, light.png and dark.png, in this
# folder; with FOLDER those of a tablet and two telephones, too, and all there.
# Needs chromium.
here=$(cd "$(dirname "$0")" && pwd) || exit 1
folder=${1:-$here}
profile=$(mktemp -d) || exit 1
trap 'rm -rf "$profile"' EXIT

# picture NAME WIDTH,HEIGHT ADDRESS OPTION...
picture() {
    name=$1 size=$2 address=$3
    shift 3
    chromium --headless --no-sandbox --disable-gpu --no-first-run \
        --disable-background-networking --disable-sync --hide-scrollbars \
        --disable-component-update --user-data-dir="$profile" "$@" \
        --window-size="$size" --screenshot="$folder/$name.png" \
        "file://$here/moe.html#$address" 2>/dev/null
    echo "$folder/$name.png"
}

dark=--blink-settings=preferredColorScheme=0
picture light 1280,800 'stop=4&epochs=1200'
picture dark 1280,800 'stop=7&epochs=300&restarts=5&data=6&experts=5&sigma=0' \
    $dark
if [ $# -gt 0 ]; then
    picture tablet_light 768,1024 'stop=3&epochs=100'
    picture tablet_dark 768,1024 'stop=7&epochs=300' $dark
    picture phone_light 390,844 'stop=7&epochs=300'
    picture phone_dark 390,844 'stop=6&epochs=150&tab=set' $dark
    picture small_light 320,568 'stop=5&epochs=200'
    picture small_dark 320,568 'stop=6&epochs=100&tab=charts' $dark
fi

#!/bin/sh
# build.sh - page.html with page.css, page.js and page.wasm (gzip, as base64) in
# the places of the lines <!-- page.css --> and so on.
cd "$(dirname "$0")" || exit 1
while IFS= read -r line; do
    case $line in
    '<!-- page.css -->') echo '<style>'; cat page.css; echo '</style>' ;;
    '<!-- page.js -->') echo '<script>'; cat page.js; echo '</script>' ;;
    '<!-- page.wasm -->')
        printf '<script type="text/plain" id="wasm">'
        gzip -9n <page.wasm | base64 | tr -d '\n'
        echo '</script>' ;;
    *) printf '%s\n' "$line" ;;
    esac
done <page.html

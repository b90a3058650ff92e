# The statuses of moe.h with what their comments say, "cause; remedy", as rows
# of a table.
/^typedef enum moe_status/ { inside = 1; next }
/^} moe_status;/ { exit }
inside {
    if (match($0, /^ +MOE_[A-Z_]+/))
        name = substr($0, RSTART + 4, RLENGTH - 4)
    text = $0
    if (sub(/^.*\/\*/, "", text))
        words = ""
    else if (text ~ /MOE_OK/)
        next
    words = words " " text
    if (text !~ /\*\//)
        next
    sub(/ *\*\/.*/, "", words)
    gsub(/ +/, " ", words)
    sub(/^ /, "", words)
    cut = index(words, "; ")
    printf "| `%s` | %s | %s |\n", name, substr(words, 1, cut - 1),
        substr(words, cut + 2)
}

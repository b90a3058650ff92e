# blocks.awk - take the fenced blocks out of a text: every ```c block goes to
# the file OUT.LINE.c (LINE is where its fence stands), a ```text block that
# follows one under the same heading to OUT.LINE.txt.  The fence's indentation
# is taken off.
/^ *```/ {
    if (!inside) {
        indent = index($0, "`") - 1
        language = substr($0, indent + 4)
        if (language == "c")
            line = NR
        file = ""
        if (language == "c" || (language == "text" && line))
            file = out "." line (language == "c" ? ".c" : ".txt")
        if (file)
            printf "" >file
    } else if (language != "c") {
        line = 0
    }
    inside = !inside
    next
}
inside && file { print substr($0, indent + 1) >file }
!inside && /^#/ { line = 0 }
END {
    if (inside) {
        print "a fence is not closed"
        exit 1
    }
}

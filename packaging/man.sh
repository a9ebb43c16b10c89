#!/bin/sh
# man.sh PROGRAM TEMPLATE VERSION OUT: writes a man page to OUT. TEMPLATE is the page without what the program's help
# says; a line @COMMANDS@ (of chitchat) or @HELP@ (of chitchat-load) stands for that. So no option can be missing.
set -eu
program=$1 template=$2 version=$3 out=$4
help=$("$program" --help)

# A help text of chitchat as troff: with `part` usage, text or options of it.
as_troff() {
    awk -v part="$1" '
        function escape(text) {
            gsub(/\\/, "\\e", text)
            gsub(/-/, "\\-", text)
            if (text ~ /^[.\047]/) text = "\\&" text
            return text
        }
        /^Usage: / { sub(/^Usage: /, ""); if (part == "usage") print ".B " escape($0); state = "text"; next }
        /^Options of / { state = "options"; next }
        state == "options" && /^$/ { state = "tail"; next }
        state == "options" && part == "options" {
            if ($0 ~ /^  (--|[A-Z])/) {
                left = $0
                sub(/^  /, "", left)
                gap = match(left, /   */)
                text = gap ? substr(left, gap) : ""
                if (gap) left = substr(left, 1, gap - 1)
                sub(/^ */, "", text)
                print ".TP"
                split(left, word, " ")
                value = substr(left, length(word[1]) + 2)
                print "\\fB" escape(word[1]) "\\fR" (value == "" ? "" : " \\fI" escape(value) "\\fR")
                if (text != "") print escape(text)
            } else {
                sub(/^ */, "")
                print escape($0)
            }
        }
        state == part && part != "options" { print $0 == "" ? ".PP" : escape($0) }'
}

# Each command with its options. serve has no help of its own: its options are in that of the program.
commands() {
    for command in $(printf '%s\n' "$help" | sed -n 's/^  chitchat \([a-z][a-z-]*\) .*/\1/p'); do
        echo ".SS chitchat $command"
        text=$("$program" "$command" --help)
        if [ "$command" = serve ]; then
            echo 'Serves until SIGTERM or SIGINT.'
            printf '%s\n' "$text" | as_troff options
            echo '.PP'
            printf '%s\n' "$text" | as_troff tail
        else
            printf '%s\n' "$text" | as_troff usage
            echo '.PP'
            printf '%s\n' "$text" | as_troff text
            printf '%s\n' "$text" | as_troff options
        fi
    done
}

# The help as it is.
help_text() {
    echo '.EX'
    printf '%s\n' "$help" | sed -e 's/\\/\\e/g' -e 's/-/\\-/g' -e "s/^[.']/\\\\\\&&/"
    echo '.EE'
}

while IFS= read -r line; do
    case $line in
    @COMMANDS@) commands ;;
    @HELP@) help_text ;;
    *) printf '%s\n' "$line" | sed "s/@VERSION@/$version/" ;;
    esac
done <"$template" >"$out"

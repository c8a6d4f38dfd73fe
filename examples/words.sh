#!/bin/sh
# How many words must be seen before most words of a text are known? Counted with awk; nothing is trained.
#
#     ablate grid --script 'examples/words.sh {share} {case}' --levels share=0.1,0.5 --levels case=keep,lower \
#         --metric known:max --metric vocabulary:min --uses examples/words.txt
#
# A program is told its settings as arguments. This one writes its scores, a JSON object, to $ABLATE_RESULT.

set -e
share=$1
case=$2
text=$(dirname "$0")/words.txt

if [ "$case" = lower ]; then
    tr '[:upper:]' '[:lower:]' < "$text"
else
    cat "$text"
fi | tr -cs '[:alpha:]' '\n' | awk -v share="$share" -v seed="$ABLATE_SEED" '
    BEGIN { srand(seed + 1) }
    NF && rand() < share { seen[$1] = 1; next }
    NF { other[++n] = $1 }
    END {
        for (word in seen) vocabulary++
        for (k = 1; k <= n; k++) known += other[k] in seen
        printf "{\"known\": %.6f, \"vocabulary\": %d}\n", n ? known / n : 0, vocabulary
    }' > "$ABLATE_RESULT"

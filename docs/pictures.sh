#!/bin/sh
# Makes the pictures in docs/generated: `make pictures`. Without randomisation and with an empty environment, so that they
# are the same on the same machine.
set -eu
supplant=$1
examples=$(cd "$(dirname "$0")/examples" && pwd)
generated=$(cd "$(dirname "$0")/generated" && pwd)
# A name of no length and no owner: paths are a part of what is drawn.
place=/tmp/supplant-examples
mkdir "$place"
trap 'rm -rf "$place"' EXIT
cp "$examples"/* "$place"
cd "$place"
cc -O1 -o pie hello.c
cc -O1 -static -o static hello.c
same() { setarch -R env -i PATH=/usr/bin:/bin "$@"; }
for name in static pie script; do
    same "$supplant" layout --svg "$generated/$name.svg" --text "$generated/$name.txt" "./$name"
done
# Only the memory, for the README: up to where the pages begin.
end=$(sed -n 's/.*<text class="heading" x="[0-9.]*" y="\([0-9]*\)[0-9.]*">Inside pages.*/\1/p' "$generated/pie.svg")
sed "1s/\(viewBox=\"0 0 [0-9]* \)[0-9]*/\1$((end - 26))/; 1s/ height=\"[0-9]*\"/ height=\"$((end - 26))\"/" \
    "$generated/pie.svg" >"$generated/memory.svg"
# The shell that is about to become the program, and what becomes of it.
same sh -c '"$1" layout --svg "$2/overwrite.svg" --with ./pie pid:$$' sh "$supplant" "$generated"
sed -i "s/^pid:[0-9]*/pid:N/; s/>pid:[0-9]*</>pid:N</g" "$generated/overwrite.svg"

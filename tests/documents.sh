#!/bin/sh
# Whether what the documents name is there: their links, and the source files of PARITY.md, DESIGN.md and their like.
set -u
cd "$(dirname "$0")/.." || exit 2

status=0
complain() {
	echo "$*" >&2
	status=1
}

documents=$(git ls-files '*.md' 2>/dev/null || find . -name '*.md' -not -path './target/*')
sources=$(find src loader tests test-binaries benches -name '*.rs' -not -path '*/target/*')

for document in $documents; do
	folder=$(dirname "$document")
	for link in $(grep -o ']([^)#]*' "$document" | sed 's/^](//' | grep -v '^https\{0,1\}:'); do
		[ -e "$folder/$link" ] || complain "$document: $link is not there"
	done
	case $document in CHANGELOG.md) continue ;; esac
	for name in $(grep -oE '[a-z_0-9/]+\.rs\b' "$document" | sed 's:^/::' | sort -u); do
		case "
$sources" in
		*"/$name"* | *"
$name"*) ;;
		*) complain "$document: no source file is called $name" ;;
		esac
	done
done

words=$(wc -w <DESIGN.md)
[ "$words" -le 1500 ] || complain "DESIGN.md: $words words, to be read in ten minutes it has 1500 at the most"
exit $status

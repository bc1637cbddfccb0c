# A session of a shell: pipes, substitutions, here-documents, jobs, errors.
echo pipes $(ls / | sort | head -3 | tr '\n' ' ')
echo nested $(echo deeper $(basename /a/b) `expr 1 + 2`)
cat <<END | sed s/here/there/
here $(echo inside)
END
cat <<'END'
here $(not inside)
END
for i in 1 2 3; do expr $i + 1; done
(exit 3); echo subshell $?
ls /nonexistent; echo ls $?
nonexistent-command; echo missing $?
./plain; echo denied $?
cat <plain | wc -c
sh -c 'exit 7' || echo status $?
sleep 0.05 & wait $!; echo waited $?
sh -c 'kill -TERM $$'; echo killed $?
sh -c 'kill -STOP $$; exit 5' & sleep 0.1; kill -CONT $!; wait $!; echo continued $?
printf 'a b\n' | while read first second; do echo $second $first; done
find . -name 'p*' -exec echo found {} \;
printf '%s\n' one two three | xargs -n1 echo arg
seq 100 | xargs -P4 -n10 true; echo xargs $?
yes | head -2
trap 'echo trapped' USR1; sh -c 'kill -USR1 $PPID'; sleep 0.05
T_LOCAL=set env | grep '^T_' | sort
env -u T_VARIABLE env | grep -c '^T_'
nice -n 5 nice
timeout 0.1 sleep 5; echo timeout $?
exec 3>out; sh -c 'echo to three >&3'; exec 3>&-; cat out
echo 'echo by file $0 $1' >script; sh script arg
printf '#!/bin/sh\necho by line "$@"\n' >executable; chmod +x executable; ./executable a 'b c'
printf 'echo formless\n' >formless; chmod +x formless; ./formless
grep -c processor /proc/cpuinfo >/dev/null && echo proc
awk 'BEGIN { system("echo from awk"); "echo read" | getline x; print x }'
(ulimit -n 20; cat plain)
(cd / && exec pwd)
umask 027; touch masked; ls -l masked | cut -c1-10
set -- $(id -u) $(id -u); [ "$1" = "$2" ] && echo ids
exec sh -c 'echo last; exit 9'

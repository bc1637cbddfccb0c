#!/bin/sh
# What a configure script does, in small: options, checks by compiling, substitution, a script that writes the files.
prefix=/usr/local
for option; do
    case $option in
    --prefix=*) prefix=$(expr "x$option" : 'x[^=]*=\(.*\)') ;;
    esac
done
as_dirname() { expr "X$1" : 'X\(.*\)/[^/]*$'; }
echo "checking build system... $(uname -m)-$(uname -s | tr '[A-Z]' '[a-z]')"
echo "configured in $(as_dirname /some/where)"
printf 'checking for gcc... '
for directory in $(echo "$PATH" | tr ':' ' '); do
    if test -x "$directory/gcc"; then echo "$directory/gcc"; break; fi
done

compile() {
    cat >conftest.c
    gcc -o conftest conftest.c >conftest.log 2>&1
    status=$?
    echo "exit $status" >>config.log
    return $status
}

printf 'checking whether the compiler works... '
if compile <<END
int main(void) { return 0; }
END
then ./conftest && echo yes; else echo no; fi

for function in fork nonsense; do
    printf 'checking for %s... ' $function
    if compile <<END
char $function(void);
int main(void) { return $function(); }
END
    then
        echo yes
        name=HAVE_$(echo $function | tr '[a-z]' '[A-Z]')
        echo "s/#undef $name/#define $name 1/" >>conf.sed
    else echo no
    fi
done

for header in stdio.h nonsense.h; do
    printf 'checking for %s... ' $header
    if echo "#include <$header>" | gcc -E - >/dev/null 2>&1; then echo yes; else echo no; fi
done

printf 'checking size of long... '
compile <<END
#include <stdio.h>
int main(void) { printf("%d\n", (int)sizeof(long)); }
END
./conftest

cat >config.status <<END
#!/bin/sh
echo "config.status: creating config.h"
sed -f conf.sed config.h.in >config.h
echo "prefix = $prefix" >Makefile.out
END
chmod +x config.status
./config.status
grep -n . config.h Makefile.out config.log
rm -f conftest conftest.c conftest.log

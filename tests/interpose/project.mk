# A small C project: a generated header, a library, a program, a check, a recursive make, and something that fails.
CFLAGS = -O1 -Wall
VERSION := $(shell echo 1.$$(expr 1 + 1))

all: prog
	@./prog
	@$(MAKE) --no-print-directory -f Makefile report
	-gcc -c broken.c 2>/dev/null
	@echo version $(VERSION)

report:
	@wc -c <h.h; nm libf.a | grep -c ' T f'

prog: main.o libf.a
	gcc -o $@ main.o -L. -lf

libf.a: f.o
	ar rc $@ f.o

%.o: %.c h.h
	gcc $(CFLAGS) -c $<

h.h: h.h.in
	sed 's/@G@/2/' <$< >$@

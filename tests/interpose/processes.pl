# Each way in which perl starts programs.
use strict;
$| = 1;
print "back ", `echo ticks`;
print join("|", `printf 'a\\nb\\n'`), "\n";
print "status ", $? >> 8, "\n" if system("sh", "-c", "exit 3");
print "shell ", system("exit 4; true") >> 8, "\n";
print "missing ", system("/nonexistent/program"), " $!\n";
open(my $from, "-|", "echo", "piped from") or die; print <$from>; close $from;
open(my $to, "|-", "cat; exit 2") or die; print $to "piped to\n"; close $to; print "closed ", $? >> 8, "\n";
my $pid = fork;
if ($pid == 0) { $ENV{T_SET} = "set"; exec "sh", "-c", 'echo child $T_SET; exit 5' }
waitpid $pid, 0;
print "waited ", $? >> 8, "\n";
$pid = fork;
if ($pid == 0) { exec { "/bin/sh" } "othername", "-c", 'echo $0' }
waitpid $pid, 0;
system("kill -9 \$\$; true");
print "signal ", $? & 127, "\n";
print "qx ", qx{sh -c 'echo error >&2; echo out' 2>&1};
local $SIG{ALRM} = sub { print "alarm\n" };
alarm 1; system("sleep 1.2"); print "slept\n";
exec "echo the last | cat";

"""Each way in which Python starts programs, and each error that it reports."""

import asyncio
import os
import signal
import subprocess
import sys
import threading


def out(*args, **kwargs):
    done = subprocess.run(*args, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **kwargs)
    print(done.returncode, done.stdout)


def error(*args, **kwargs):
    try:
        subprocess.run(*args, **kwargs)
    except Exception as caught:
        print(type(caught).__name__, "" if isinstance(caught, subprocess.TimeoutExpired) else caught)


SHOW = "import os, signal, sys; print(sys.argv[1:], sorted(os.listdir('/proc/self/fd'))[:-1], os.getcwd()[-5:], " \
       "signal.getsignal(signal.SIGPIPE), signal.getsignal(signal.SIGINT), os.getpgrp() == os.getpid(), os.umask(0))"
show = [sys.executable, "-S", "-E", "-c", SHOW, "argument", ""]

out(show)
out(show, close_fds=False)
out(show, close_fds=False, restore_signals=False)
out(show, preexec_fn=lambda: os.umask(0o70))
out(show, cwd="/")
out(show, start_new_session=True)
out(show, pass_fds=[os.open("plain", os.O_RDONLY)])
out(show, umask=0o7)
out(["env"], env={"T_ONE": "1"})
out(["cat"], input=b"by pipe")
out("echo shell; exit 3", shell=True)
out(["sh", "-c", "kill -KILL $$"])
error(["/nonexistent"])
error(["nonexistent-program"])
error(["./plain"])
error(["/etc"])
error(["./formless"])
error(["true"], cwd="/nonexistent")
error(["true"], preexec_fn=lambda: 1 / 0)
error(["false"], check=True)
error(["sleep", "5"], timeout=0.1)
error(["x" * 300])
error(["true", "x" * 200000])

pid = os.posix_spawn("/bin/echo", ["echo", "spawned"], os.environ,
                     file_actions=[(os.POSIX_SPAWN_OPEN, 1, "spawned", os.O_CREAT | os.O_WRONLY, 0o644)],
                     setsigdef=[signal.SIGPIPE])
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), open("spawned").read())
try:
    os.posix_spawnp("nonexistent-program", ["x"], os.environ)
except FileNotFoundError as caught:
    print(caught)
print(os.spawnlp(os.P_WAIT, "sh", "sh", "-c", "exit 6"), os.system("exit 4"), os.popen("echo popen").read())
print(os.popen("exit 2").close())


async def several():
    child = await asyncio.create_subprocess_exec("sh", "-c", "echo asynchronous; exit 8", stdout=subprocess.PIPE)
    print(await child.communicate(), child.returncode)

asyncio.run(several())

codes = []
threads = [threading.Thread(target=lambda: codes.append(subprocess.call(["sh", "-c", "exit 5"]))) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(codes)

pid = os.fork()
if pid == 0:
    try:
        os.execve("/nonexistent", ["x"], {})
    except OSError as caught:
        print(caught, flush=True)
    os.execvpe("sh", ["sh", "-c", "echo $T_TWO; exit 11"], {"PATH": os.environ["PATH"], "T_TWO": "2"})
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
os.execl("/bin/echo", "echo", "the last")

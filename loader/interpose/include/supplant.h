/* Replacing the program that a process runs, as execve(2) does, without calling execve(2). Link with -lsupplant.
 * supplant_execve(3) says more. */
#ifndef SUPPLANT_H
#define SUPPLANT_H

#ifdef __cplusplus
extern "C" {
#endif

/*
 * As execve(2): returns only on failure, -1 with errno set, and then the process is as it was. The errors are those of
 * execve(2), a bad pointer (EFAULT) among them, and besides
 *
 *   EBUSY   the memory of this process is shared with another one (vfork), or something of it cannot be given up
 *   EPERM   a set-user-id, set-group-id or capability program, or sealed memory of this process
 *   EACCES  a program that may be executed and not read
 *
 * Where execve(2) kills the calling process, because it finds out too late that the program cannot be loaded, so does this.
 * Nothing is done to signals and the environment is passed as it is given. No destructor runs, no buffer is flushed.
 */
int supplant_execve(const char *path, char *const argv[], char *const envp[]);

/*
 * As execveat(2), with AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW, and AT_EXECVE_CHECK (0x10000; on every kernel): with the last
 * one nothing is executed, and 0 says that it might be.
 */
int supplant_execveat(int dirfd, const char *path, char *const argv[], char *const envp[], int flags);

#ifdef __cplusplus
}
#endif

#endif

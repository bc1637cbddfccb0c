/* Functions that replace the program of this process as execve(2) does, without calling execve(2). Link with -lsupplant.
 * The manual page supplant_execve(3) has the details. */
#ifndef SUPPLANT_H
#define SUPPLANT_H

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Replaces the program of this process with the one at path, with the arguments argv and the environment envp. Both are
 * arrays that end with NULL. Like execve(2), it returns only on failure: -1 with errno set, and the process is as it was.
 * The errors are those of execve(2), including EFAULT for a bad pointer, and in addition:
 *
 *   EBUSY   the memory of this process is shared with another one (vfork), or something of it cannot be given up
 *   EPERM   a set-user-ID, set-group-ID or capability program, or sealed memory of this process
 *   EACCES  a program that may be executed but not read
 *
 * If execve(2) would kill the calling process, because it finds out too late that the program cannot be loaded, this
 * function kills it too. Signals are not changed, and the environment is passed unchanged. No destructor runs, and no
 * buffer is flushed.
 */
int supplant_execve(const char *path, char *const argv[], char *const envp[]);

/*
 * The same for execveat(2): a relative path starts at the directory dirfd. The flags are AT_EMPTY_PATH,
 * AT_SYMLINK_NOFOLLOW, and AT_EXECVE_CHECK (0x10000; on every kernel). With AT_EXECVE_CHECK nothing is executed, and the
 * result 0 means that the program may be executed.
 */
int supplant_execveat(int dirfd, const char *path, char *const argv[], char *const envp[], int flags);

#ifdef __cplusplus
}
#endif

#endif

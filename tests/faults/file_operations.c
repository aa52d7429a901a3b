/* A library for LD_PRELOAD: counts the operations that change files below given folders, and at a
   chosen one kills or stops the process, sends it a signal, or lets the operation fail.

   Python loads it a second time by its path (the same copy) and calls `arm`. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { NOTHING, SIGNAL_ONCE, SIGNAL_EACH, FAIL_ONCE, FAIL_FROM, FAIL_AFTER_BYTES, FAIL_READS };

static char folders[4][PATH_MAX];
static int folder_count;
static int action, number, log_fd = -1;
static long at;
static atomic_long operations, bytes;
static pid_t armed_process;

/* Arms the library in this process; children that it forks are not affected.
   folders: absolute paths, separated by newlines. what: one of the enum. which: the operation,
   from 1, or a number of bytes. signal_or_errno: as `what` needs. log_path: each operation is
   written there, one per line; "" for none. */
void arm(const char *paths, int what, long which, int signal_or_errno, const char *log_path) {
  char copy[4 * PATH_MAX];
  folder_count = 0;
  snprintf(copy, sizeof copy, "%s", paths);
  for (char *path = strtok(copy, "\n"); path && folder_count < 4; path = strtok(NULL, "\n"))
    snprintf(folders[folder_count++], PATH_MAX, "%s", path);
  action = what, at = which, number = signal_or_errno;
  operations = bytes = 0;
  if (*log_path) log_fd = syscall(SYS_openat, AT_FDCWD, log_path, O_WRONLY | O_CREAT | O_APPEND, 0600);
  armed_process = getpid();
}

long operation_count(void) { return operations; }

static int is_watched(const char *path) {
  for (int i = 0; i < folder_count; i++) {
    size_t length = strlen(folders[i]);
    if (!strncmp(path, folders[i], length) && (path[length] == '/' || !path[length])) return 1;
  }
  return 0;
}

/* Returns 0 to go on, or -1 with errno set. */
static int note(const char *what, const char *path, size_t size) {
  int saved = errno, fails = 0;
  if (!armed_process || !is_watched(path) || armed_process != getpid()) return errno = saved, 0;
  long index = atomic_fetch_add(&operations, 1) + 1;
  if (log_fd >= 0) {
    char line[PATH_MAX + 100];
    int length = snprintf(line, sizeof line, "%ld %s %zu %s\n", index, what, size, path);
    syscall(SYS_write, log_fd, line, (size_t)length);
  }
  if (action == SIGNAL_ONCE && index == at) kill(getpid(), number);
  if (action == SIGNAL_EACH) kill(getpid(), number);
  if (action == FAIL_ONCE) fails = index == at;
  if (action == FAIL_FROM) fails = index >= at;
  if (action == FAIL_AFTER_BYTES) fails = size && atomic_fetch_add(&bytes, size) + (long)size > at;
  errno = fails ? number : saved;
  return -fails;
}

/* Reading is not counted: it fails, or not. */
static int note_read(const char *path) {
  char whole[PATH_MAX];
  if (action != FAIL_READS || armed_process != getpid() || !realpath(path, whole)) return 0;
  if (!is_watched(whole)) return 0;
  errno = number;
  return -1;
}

static int note_at(const char *what, int folder, const char *path, size_t size) {
  char whole[2 * PATH_MAX], base[PATH_MAX];
  if (!armed_process || !path) return 0;
  if (path[0] == '/') return note(what, path, size);
  if (folder == AT_FDCWD) {
    if (!getcwd(base, sizeof base)) return 0;
  } else {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
    ssize_t length = readlink(link, base, sizeof base - 1);
    if (length < 0) return 0;
    base[length] = 0;
  }
  snprintf(whole, sizeof whole, "%s/%s", base, path);
  return note(what, whole, size);
}

static int note_fd(const char *what, int fd, size_t size) {
  char link[64], path[PATH_MAX];
  int saved = errno;
  if (!armed_process || fd == log_fd) return 0;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  errno = saved;
  if (length < 0) return 0;
  path[length] = 0;
  return note(what, path, size);
}

#define REAL(name) \
  static __typeof__(&name) real; \
  if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

static int writes(int flags) { return (flags & O_ACCMODE) != O_RDONLY || flags & (O_CREAT | O_TRUNC); }

#define OPEN(name) \
  int name(const char *path, int flags, ...) { \
    va_list rest; va_start(rest, flags); mode_t mode = va_arg(rest, mode_t); va_end(rest); \
    REAL(name); \
    int fails = writes(flags) ? note_at("open", AT_FDCWD, path, 0) : note_read(path); \
    return fails ? -1 : real(path, flags, mode); \
  }
OPEN(open)
OPEN(open64)

#define OPENAT(name) \
  int name(int folder, const char *path, int flags, ...) { \
    va_list rest; va_start(rest, flags); mode_t mode = va_arg(rest, mode_t); va_end(rest); \
    REAL(name); \
    return writes(flags) && note_at("open", folder, path, 0) ? -1 : real(folder, path, flags, mode); \
  }
OPENAT(openat)
OPENAT(openat64)

#define FOPEN(name) \
  FILE *name(const char *path, const char *mode) { \
    REAL(name); \
    int fails = strpbrk(mode, "wa+") ? note_at("open", AT_FDCWD, path, 0) : note_read(path); \
    return fails ? NULL : real(path, mode); \
  }
FOPEN(fopen)
FOPEN(fopen64)

ssize_t write(int fd, const void *data, size_t size) {
  REAL(write);
  return note_fd("write", fd, size) ? -1 : real(fd, data, size);
}
ssize_t pwrite(int fd, const void *data, size_t size, off_t offset) {
  REAL(pwrite);
  return note_fd("write", fd, size) ? -1 : real(fd, data, size, offset);
}
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset) {
  REAL(pwrite64);
  return note_fd("write", fd, size) ? -1 : real(fd, data, size, offset);
}
ssize_t writev(int fd, const struct iovec *parts, int count) {
  size_t size = 0;
  REAL(writev);
  for (int i = 0; i < count; i++) size += parts[i].iov_len;
  return note_fd("write", fd, size) ? -1 : real(fd, parts, count);
}
ssize_t sendfile(int out, int in, off_t *offset, size_t size) {
  REAL(sendfile);
  return note_fd("write", out, size) ? -1 : real(out, in, offset, size);
}
ssize_t sendfile64(int out, int in, off64_t *offset, size_t size) {
  REAL(sendfile64);
  return note_fd("write", out, size) ? -1 : real(out, in, offset, size);
}
ssize_t copy_file_range(int in, off64_t *from, int out, off64_t *to, size_t size, unsigned flags) {
  REAL(copy_file_range);
  return note_fd("write", out, size) ? -1 : real(in, from, out, to, size, flags);
}
int ftruncate(int fd, off_t size) {
  REAL(ftruncate);
  return note_fd("truncate", fd, 0) ? -1 : real(fd, size);
}
int ftruncate64(int fd, off64_t size) {
  REAL(ftruncate64);
  return note_fd("truncate", fd, 0) ? -1 : real(fd, size);
}
int fsync(int fd) {
  REAL(fsync);
  return note_fd("sync", fd, 0) ? -1 : real(fd);
}
int fdatasync(int fd) {
  REAL(fdatasync);
  return note_fd("sync", fd, 0) ? -1 : real(fd);
}

/* stdio writes by a name inside the C library that cannot be replaced: its own calls are noted. */
static int is_written(FILE *file) { return (fcntl(fileno(file), F_GETFL) & O_ACCMODE) != O_RDONLY; }

size_t fwrite(const void *data, size_t size, size_t count, FILE *file) {
  REAL(fwrite);
  return armed_process && note_fd("write", fileno(file), size * count) ? 0
                                                                       : real(data, size, count, file);
}
#undef fwrite_unlocked
size_t fwrite_unlocked(const void *data, size_t size, size_t count, FILE *file) {
  REAL(fwrite_unlocked);
  return armed_process && note_fd("write", fileno(file), size * count) ? 0
                                                                       : real(data, size, count, file);
}
int fflush(FILE *file) {
  REAL(fflush);
  return armed_process && file && note_fd("flush", fileno(file), 0) ? EOF : real(file);
}
int fclose(FILE *file) {
  REAL(fclose);
  if (!armed_process || fileno(file) < 0 || !is_written(file)) return real(file);
  int fails = note_fd("close", fileno(file), 0), saved = errno, result = real(file);
  if (!fails) return result;
  errno = saved;
  return EOF;
}

int rename(const char *from, const char *to) {
  REAL(rename);
  return note_at("rename", AT_FDCWD, to, 0) ? -1 : real(from, to);
}
int renameat(int from_folder, const char *from, int folder, const char *to) {
  REAL(renameat);
  return note_at("rename", folder, to, 0) ? -1 : real(from_folder, from, folder, to);
}
int unlink(const char *path) {
  REAL(unlink);
  return note_at("unlink", AT_FDCWD, path, 0) ? -1 : real(path);
}
int unlinkat(int folder, const char *path, int flags) {
  REAL(unlinkat);
  return note_at("unlink", folder, path, 0) ? -1 : real(folder, path, flags);
}
int remove(const char *path) {
  REAL(remove);
  return note_at("unlink", AT_FDCWD, path, 0) ? -1 : real(path);
}
int rmdir(const char *path) {
  REAL(rmdir);
  return note_at("rmdir", AT_FDCWD, path, 0) ? -1 : real(path);
}
int mkdir(const char *path, mode_t mode) {
  REAL(mkdir);
  return note_at("mkdir", AT_FDCWD, path, 0) ? -1 : real(path, mode);
}
int mkdirat(int folder, const char *path, mode_t mode) {
  REAL(mkdirat);
  return note_at("mkdir", folder, path, 0) ? -1 : real(folder, path, mode);
}
int link(const char *from, const char *to) {
  REAL(link);
  return note_at("link", AT_FDCWD, to, 0) ? -1 : real(from, to);
}
int symlink(const char *content, const char *path) {
  REAL(symlink);
  return note_at("symlink", AT_FDCWD, path, 0) ? -1 : real(content, path);
}

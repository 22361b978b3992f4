/* The clock that a test run is given: every time that a program sees, those of files included, is moved by one offset.

   MOVED_CLOCK names a file that holds the offset in nanoseconds, as a native int64; whoever changes it moves the clock
   of all. The kernel keeps the real time, and clocks that only count (CLOCK_MONOTONIC) are left alone. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000LL

static const volatile int64_t *moved;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("MOVED_CLOCK");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *page = file < 0 ? MAP_FAILED : mmap(0, sizeof *moved, PROT_READ, MAP_SHARED, file, 0);
    if (file >= 0) close(file);
    if (page != MAP_FAILED) moved = page;
}

static int64_t offset(void) { return moved ? *moved : 0; }

static void move(struct timespec *at, int64_t by) {
    int64_t total = at->tv_nsec + by % SECOND + SECOND;
    at->tv_sec += by / SECOND - 1 + total / SECOND;
    at->tv_nsec = total % SECOND;
}

int clock_gettime(clockid_t which, struct timespec *at) {
    int code = syscall(SYS_clock_gettime, which, at);
    if (!code && (which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE)) move(at, offset());
    return code;
}

int gettimeofday(struct timeval *at, void *zone) {
    struct timespec now;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    at->tv_sec = now.tv_sec;
    at->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *at) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (at) *at = now.tv_sec;
    return now.tv_sec;
}

/* Files: what the kernel has written down is shown moved, and what is to be written down is moved back. */

static int shown(int code, struct stat64 *found) {
    if (!code) {
        move(&found->st_atim, offset());
        move(&found->st_mtim, offset());
        move(&found->st_ctim, offset());
    }
    return code;
}

#define NEXT(name, result, ...) ((result (*)(__VA_ARGS__))dlsym(RTLD_NEXT, name))

int stat64(const char *path, struct stat64 *found) {
    return shown(NEXT("stat64", int, const char *, struct stat64 *)(path, found), found);
}

int lstat64(const char *path, struct stat64 *found) {
    return shown(NEXT("lstat64", int, const char *, struct stat64 *)(path, found), found);
}

int fstat64(int file, struct stat64 *found) {
    return shown(NEXT("fstat64", int, int, struct stat64 *)(file, found), found);
}

int fstatat64(int folder, const char *path, struct stat64 *found, int flags) {
    return shown(NEXT("fstatat64", int, int, const char *, struct stat64 *, int)(folder, path, found, flags), found);
}

/* The same by the names of programs that were built without large files; on 64 bits the structures are one. */
int stat(const char *path, struct stat *found) { return stat64(path, (struct stat64 *)found); }
int lstat(const char *path, struct stat *found) { return lstat64(path, (struct stat64 *)found); }
int fstat(int file, struct stat *found) { return fstat64(file, (struct stat64 *)found); }
int fstatat(int folder, const char *path, struct stat *found, int flags) {
    return fstatat64(folder, path, (struct stat64 *)found, flags);
}

/* And as programs call them that were built with a C library before 2.33. */
int __xstat64(int version, const char *path, struct stat64 *found) { return (void)version, stat64(path, found); }
int __lxstat64(int version, const char *path, struct stat64 *found) { return (void)version, lstat64(path, found); }
int __fxstat64(int version, int file, struct stat64 *found) { return (void)version, fstat64(file, found); }
int __fxstatat64(int version, int folder, const char *path, struct stat64 *found, int flags) {
    return (void)version, fstatat64(folder, path, found, flags);
}

static void moved_statx(struct statx_timestamp *at) {
    struct timespec time = {at->tv_sec, at->tv_nsec};
    move(&time, offset());
    at->tv_sec = time.tv_sec;
    at->tv_nsec = time.tv_nsec;
}

int statx(int folder, const char *path, int flags, unsigned mask, struct statx *found) {
    int code = syscall(SYS_statx, folder, path, flags, mask, found);
    if (!code) {
        moved_statx(&found->stx_atime);
        moved_statx(&found->stx_mtime);
        moved_statx(&found->stx_ctime);
        moved_statx(&found->stx_btime);
    }
    return code;
}

static const struct timespec *back(const struct timespec given[2], struct timespec kept[2]) {
    if (!given) return given;
    for (int i = 0; i < 2; i++) {
        kept[i] = given[i];
        if (given[i].tv_nsec != UTIME_NOW && given[i].tv_nsec != UTIME_OMIT) move(&kept[i], -offset());
    }
    return kept;
}

int utimensat(int folder, const char *path, const struct timespec times[2], int flags) {
    struct timespec kept[2];
    return syscall(SYS_utimensat, folder, path, back(times, kept), flags);
}

int futimens(int file, const struct timespec times[2]) {
    struct timespec kept[2];
    return syscall(SYS_utimensat, file, 0, back(times, kept), 0);
}

/* Ways around a watcher, each a single act that is over at once, by calls that no ordinary program makes; prints
   "NAME RESULT ERRNO" as call_once does.
   evade io_uring_direct PATH    reads a file that io_uring opened without ever giving a descriptor for it
   evade io_uring_setxattr PATH  has io_uring give a file the capability CAP_SYS_ADMIN
   evade io_uring_rename OLD NEW has io_uring rename a file
   evade setxattrat PATH         gives a file the capability CAP_SYS_ADMIN
   evade flash_mount TYPE SOURCE POINT          mounts, looks, and takes the mount away at once
   evade flash_mount_apart TYPE SOURCE POINT    the same, in a mount namespace of its own
   evade flash_fsmount TYPE SOURCE              a mount that is never attached, looked into by its descriptor
   evade fsmount TYPE SOURCE POINT              the same, and attached: what mount(8) does
   evade detached_release_agent  opens release_agent of a cgroup hierarchy that is mounted nowhere
   evade clone_into CGROUP N     a child that is born in another cgroup, and sleeps */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/io_uring.h>
#include <linux/mount.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SYS_MOVE_MOUNT 429
#define SYS_FSOPEN 430
#define SYS_FSCONFIG 431
#define SYS_FSMOUNT 432
#define SYS_CLONE3 435
#define SYS_SETXATTRAT 463
#define FSCONFIG_SET_FLAG_ 0
#define FSCONFIG_SET_STRING_ 1
#define FSCONFIG_CMD_CREATE_ 6
#define MNT_DETACH_ 2
#define CLONE_INTO_CGROUP_ 0x200000000ULL

struct ring {
    int fd;
    struct io_uring_params parameters;
    char *queue;
    struct io_uring_sqe *requests;
};

static void open_ring(struct ring *ring)
{
    size_t size;
    ring->fd = (int)syscall(SYS_io_uring_setup, 4, &ring->parameters);
    if (ring->fd < 0)
        err(1, "io_uring_setup");
    size = ring->parameters.cq_off.cqes + ring->parameters.cq_entries * sizeof(struct io_uring_cqe);
    ring->queue = mmap(0, size + 4096, PROT_READ | PROT_WRITE, MAP_SHARED, ring->fd, IORING_OFF_SQ_RING);
    ring->requests = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, ring->fd, IORING_OFF_SQES);
    if (ring->queue == MAP_FAILED || ring->requests == MAP_FAILED)
        err(1, "mmap");
}

static int request(struct ring *ring, const struct io_uring_sqe *wanted)
{
    struct io_sqring_offsets *submitted = &ring->parameters.sq_off;
    struct io_cqring_offsets *completed = &ring->parameters.cq_off;
    unsigned tail = *(unsigned *)(ring->queue + submitted->tail);
    unsigned slot = tail & *(unsigned *)(ring->queue + submitted->ring_mask);
    unsigned head = *(unsigned *)(ring->queue + completed->head);
    struct io_uring_cqe *answers = (struct io_uring_cqe *)(ring->queue + completed->cqes);
    ring->requests[slot] = *wanted;
    ((unsigned *)(ring->queue + submitted->array))[slot] = slot;
    __atomic_store_n((unsigned *)(ring->queue + submitted->tail), tail + 1, __ATOMIC_RELEASE);
    if (syscall(SYS_io_uring_enter, ring->fd, 1, 1, IORING_ENTER_GETEVENTS, 0, 0) < 0)
        err(1, "io_uring_enter");
    __atomic_store_n((unsigned *)(ring->queue + completed->head), head + 1, __ATOMIC_RELEASE);
    return answers[head & *(unsigned *)(ring->queue + completed->ring_mask)].res;
}

static long read_direct(const char *path)
{
    struct ring ring = {0};
    int32_t files[4] = {-1, -1, -1, -1};
    char room[64];
    struct io_uring_sqe opening = {.opcode = IORING_OP_OPENAT, .fd = AT_FDCWD, .addr = (uintptr_t)path, .file_index = 2};
    struct io_uring_sqe reading = {
        .opcode = IORING_OP_READ, .flags = IOSQE_FIXED_FILE, .fd = 1, .addr = (uintptr_t)room, .len = sizeof room};
    int result;
    open_ring(&ring);
    if (syscall(SYS_io_uring_register, ring.fd, IORING_REGISTER_FILES, files, 4) < 0)
        err(1, "io_uring_register");
    result = request(&ring, &opening);
    if (result >= 0)
        result = request(&ring, &reading);
    errno = result < 0 ? -result : 0;
    return result < 0 ? -1 : result;
}

static const struct vfs_cap_data CAPABILITY = {
    .magic_etc = VFS_CAP_REVISION_2, .data = {{.permitted = 1U << CAP_SYS_ADMIN}}};

static long ask(const struct io_uring_sqe *wanted)
{
    struct ring ring = {0};
    int result;
    open_ring(&ring);
    result = request(&ring, wanted);
    errno = result < 0 ? -result : 0;
    return result < 0 ? -1 : result;
}

static long ask_for_capability(const char *path)
{
    struct io_uring_sqe wanted = {.opcode = IORING_OP_SETXATTR,
                                  .addr = (uintptr_t)"security.capability",
                                  .addr2 = (uintptr_t)&CAPABILITY,
                                  .len = sizeof CAPABILITY,
                                  .addr3 = (uintptr_t)path};
    return ask(&wanted);
}

static long ask_for_rename(const char *old, const char *new)
{
    struct io_uring_sqe wanted = {.opcode = IORING_OP_RENAMEAT,
                                  .fd = AT_FDCWD,
                                  .addr = (uintptr_t)old,
                                  .addr2 = (uintptr_t)new,
                                  .len = (uint32_t)AT_FDCWD};
    return ask(&wanted);
}

static long give_capability(const char *path)
{
    struct {
        uint64_t value;
        uint32_t size, flags;
    } arguments = {(uintptr_t)&CAPABILITY, sizeof CAPABILITY, 0};
    return syscall(SYS_SETXATTRAT, AT_FDCWD, path, 0, "security.capability", &arguments, sizeof arguments);
}

static long flash_mount(const char *type, const char *source, const char *point, int apart)
{
    long seen;
    if (apart && (unshare(CLONE_NEWNS) < 0 || syscall(SYS_mount, "none", "/", 0, MS_REC | MS_PRIVATE, 0) < 0))
        err(1, "unshare");
    if (syscall(SYS_mount, source, point, type, 0, 0) < 0)
        err(1, "mount %s", type);
    seen = open(point, O_RDONLY | O_DIRECTORY);
    if (syscall(SYS_umount2, point, MNT_DETACH_) < 0)
        err(1, "umount2");
    return seen;
}

static long fsmount_at(const char *type, const char *source, const char *point)
{
    int made, context = (int)syscall(SYS_FSOPEN, type, 0);
    if (context < 0)
        err(1, "fsopen");
    syscall(SYS_FSCONFIG, context, FSCONFIG_SET_STRING_, "source", source, 0);
    if (syscall(SYS_FSCONFIG, context, FSCONFIG_CMD_CREATE_, 0, 0, 0) < 0)
        err(1, "fsconfig");
    made = (int)syscall(SYS_FSMOUNT, context, 0, 0);
    if (made < 0)
        err(1, "fsmount");
    if (*point && syscall(SYS_MOVE_MOUNT, made, "", AT_FDCWD, point, MOVE_MOUNT_F_EMPTY_PATH) < 0)
        err(1, "move_mount");
    return openat(made, ".", O_RDONLY | O_DIRECTORY);
}

static long open_detached(const char *name)
{
    int made, mounted = (int)syscall(SYS_FSOPEN, "cgroup", 0);
    if (mounted < 0)
        err(1, "fsopen");
    syscall(SYS_FSCONFIG, mounted, FSCONFIG_SET_FLAG_, "none", 0, 0);
    syscall(SYS_FSCONFIG, mounted, FSCONFIG_SET_STRING_, "name", name, 0);
    if (syscall(SYS_FSCONFIG, mounted, FSCONFIG_CMD_CREATE_, 0, 0, 0) < 0)
        err(1, "fsconfig");
    made = (int)syscall(SYS_FSMOUNT, mounted, 0, 0);
    if (made < 0)
        err(1, "fsmount");
    return openat(made, "release_agent", O_WRONLY);
}

static long clone_into(const char *cgroup, const char *seconds)
{
    uint64_t arguments[11] = {CLONE_INTO_CGROUP_};
    int directory = open(cgroup, O_RDONLY | O_DIRECTORY);
    long pid;
    if (directory < 0)
        err(1, "%s", cgroup);
    arguments[4] = SIGCHLD;
    arguments[10] = (uint64_t)directory;
    pid = syscall(SYS_CLONE3, arguments, sizeof arguments);
    if (pid == 0) {
        execlp("sleep", "sleep", seconds, (char *)0);
        _exit(1);
    }
    return pid;
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "", *one = argc > 2 ? argv[2] : "", *two = argc > 3 ? argv[3] : "",
               *three = argc > 4 ? argv[4] : "";
    long result;
    errno = 0;
    if (!strcmp(name, "io_uring_direct"))
        result = read_direct(one);
    else if (!strcmp(name, "io_uring_setxattr"))
        result = ask_for_capability(one);
    else if (!strcmp(name, "io_uring_rename"))
        result = ask_for_rename(one, two);
    else if (!strcmp(name, "flash_mount") || !strcmp(name, "flash_mount_apart"))
        result = flash_mount(one, two, three, !strcmp(name, "flash_mount_apart"));
    else if (!strcmp(name, "flash_fsmount") || !strcmp(name, "fsmount"))
        result = fsmount_at(one, two, three);
    else if (!strcmp(name, "setxattrat"))
        result = give_capability(one);
    else if (!strcmp(name, "detached_release_agent"))
        result = open_detached(one);
    else if (!strcmp(name, "clone_into"))
        result = clone_into(one, two);
    else
        errx(2, "usage: evade NAME [ARGUMENT]...");
    printf("%s %ld %d\n", name, result, result < 0 ? errno : 0);
    return 0;
}

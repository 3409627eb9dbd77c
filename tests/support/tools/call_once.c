/* Makes one system call that belongs to the ways out, prints what came of it ("CALL RESULT ERRNO"), and ends at once.
   call_once NAME [ARGUMENT] [ARGUMENT] */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <netinet/in.h>
#include <arpa/inet.h>
#include <unistd.h>

#ifndef SYS_io_uring_setup
#define SYS_io_uring_setup 425
#endif
#ifndef SYS_pidfd_getfd
#define SYS_pidfd_getfd 438
#endif

static long number(const char *text)
{
    return text ? strtol(text, 0, 0) : 0;
}

/* Opens a file of the same file system as a given one, by its inode number, as "shocker" does. */
static long open_by_handle(const char *mount, const char *inode)
{
    char room[sizeof(struct file_handle) + 8];
    struct file_handle *handle = (struct file_handle *)room;
    unsigned int target[2] = {(unsigned int)number(inode), 0};
    int at = open(mount, O_RDONLY);
    if (at < 0)
        err(1, "%s", mount);
    handle->handle_bytes = 8;
    handle->handle_type = 1; /* FILEID_INO32_GEN, whose generation 0 stands for any */
    memcpy(handle->f_handle, target, 8);
    return open_by_handle_at(at, handle, O_RDONLY);
}

static long write_memory(long pid, long address)
{
    char byte = 0;
    struct iovec here = {&byte, 1}, there = {(void *)address, 1};
    return process_vm_writev((pid_t)pid, &here, 1, &there, 1, 0);
}

static long take_descriptor(long pid)
{
    int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (pidfd < 0)
        err(1, "pidfd_open");
    return syscall(SYS_pidfd_getfd, pidfd, 0, 0);
}

static long perf_event(long pid)
{
    struct perf_event_attr attr = {.type = PERF_TYPE_SOFTWARE, .size = sizeof attr, .config = PERF_COUNT_SW_CPU_CLOCK};
    return syscall(SYS_perf_event_open, &attr, pid, pid < 0 ? 0 : -1, -1, 0);
}

static long bpf_map(void)
{
    unsigned int attr[16] = {2 /* BPF_MAP_TYPE_ARRAY */, 4, 4, 1};
    return syscall(SYS_bpf, 0 /* BPF_MAP_CREATE */, attr, sizeof attr);
}

static long io_uring(void)
{
    char parameters[256] = {0};
    return syscall(SYS_io_uring_setup, 2, parameters);
}

static long connect_unix(const char *path)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    strncpy(to.sun_path, path, sizeof to.sun_path - 1);
    return connect(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr *)&to, sizeof to);
}

static long connect_inet(const char *address, const char *port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((unsigned short)number(port))};
    inet_pton(AF_INET, address, &to.sin_addr);
    return connect(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), (struct sockaddr *)&to, sizeof to);
}

/* Enters the uts namespace of another process, which the kernel asks about it first. */
static long enter(long pid)
{
    int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (pidfd < 0)
        err(1, "pidfd_open");
    return setns(pidfd, CLONE_NEWUTS);
}

/* For writing, once nobody runs it any more. */
static long open_idle(const char *path)
{
    long result = -1;
    for (int tries = 0; tries < 500; tries++) {
        result = open(path, O_RDWR);
        if (result >= 0 || errno != ETXTBSY)
            break;
        usleep(2000);
    }
    return result;
}

static long open_for(const char *path, int flags)
{
    return open(path, flags);
}

/* getpid as a 32-bit program calls it. */
static long call_as_32_bits(void)
{
#ifdef __x86_64__
    long result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(20) : "r8", "r9", "r10", "r11", "memory");
    return result;
#else
    errno = ENOSYS;
    return -1;
#endif
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "", *one = argc > 2 ? argv[2] : 0, *two = argc > 3 ? argv[3] : 0;
    long result = -1;
    errno = 0;
    if (!strcmp(name, "ptrace"))
        result = ptrace(PTRACE_SEIZE, (pid_t)number(one), 0, 0);
    else if (!strcmp(name, "process_vm_writev"))
        result = write_memory(number(one), number(two));
    else if (!strcmp(name, "pidfd_getfd"))
        result = take_descriptor(number(one));
    else if (!strcmp(name, "init_module"))
        result = syscall(SYS_init_module, "", 0, "");
    else if (!strcmp(name, "kexec_load"))
        result = syscall(SYS_kexec_load, 0, 0, 0, ~0L); /* flags that no kernel takes */
    else if (!strcmp(name, "reboot"))
        result = syscall(SYS_reboot, 0, 0, 0, 0); /* without the magic numbers nothing is rebooted */
    else if (!strcmp(name, "bpf"))
        result = bpf_map();
    else if (!strcmp(name, "perf_event_open"))
        result = perf_event(number(one));
    else if (!strcmp(name, "mknod_block"))
        result = mknod(one, S_IFBLK | 0600, (dev_t)number(two));
    else if (!strcmp(name, "mknod_mem"))
        result = mknod(one, S_IFCHR | 0600, makedev(1, 1));
    else if (!strcmp(name, "open_by_handle_at"))
        result = open_by_handle(one, two);
    else if (!strcmp(name, "userfaultfd"))
        result = syscall(SYS_userfaultfd, O_CLOEXEC);
    else if (!strcmp(name, "add_key"))
        result = syscall(SYS_add_key, "user", "hullwatch", "x", 1L, -1 /* KEY_SPEC_THREAD_KEYRING */);
    else if (!strcmp(name, "io_uring_setup"))
        result = io_uring();
    else if (!strcmp(name, "raw_socket"))
        result = socket(AF_PACKET, SOCK_RAW, 0);
    else if (!strcmp(name, "connect_unix"))
        result = connect_unix(one);
    else if (!strcmp(name, "connect_inet"))
        result = connect_inet(one, two);
    else if (!strcmp(name, "read"))
        result = open_for(one, O_RDONLY);
    else if (!strcmp(name, "write"))
        result = open_idle(one);
    else if (!strcmp(name, "setns"))
        result = enter(number(one));
    else if (!strcmp(name, "rename"))
        result = rename(one, two);
    else if (!strcmp(name, "int80"))
        result = call_as_32_bits();
    else
        errx(2, "usage: call_once NAME [ARGUMENT] [ARGUMENT]");
    printf("%s %ld %d\n", name, result, result < 0 ? errno : 0);
    return 0;
}

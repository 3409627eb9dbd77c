/* Opens one thing that leads out of a container, keeps it open and executes a program: hold KIND ARGUMENT PROGRAM...
   KIND is bpf, perf, userfaultfd, io_uring, fscontext, packet, raw (no argument: -), unix PATH or ptrace PID. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/perf_event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#ifndef SYS_fsopen
#define SYS_fsopen 430
#endif
#ifndef SYS_io_uring_setup
#define SYS_io_uring_setup 425
#endif

static long map(void)
{
    union bpf_attr attributes;
    memset(&attributes, 0, sizeof attributes);
    attributes.map_type = BPF_MAP_TYPE_ARRAY;
    attributes.key_size = attributes.value_size = 4;
    attributes.max_entries = 1;
    return syscall(SYS_bpf, BPF_MAP_CREATE, &attributes, sizeof attributes);
}

static long event(void)
{
    struct perf_event_attr attributes;
    memset(&attributes, 0, sizeof attributes);
    attributes.type = PERF_TYPE_SOFTWARE;
    attributes.size = sizeof attributes;
    attributes.config = PERF_COUNT_SW_CPU_CLOCK;
    return syscall(SYS_perf_event_open, &attributes, 0, -1, -1, 0);
}

static long ring(void)
{
    char parameters[120] = {0}; /* struct io_uring_params, include/uapi/linux/io_uring.h */
    return syscall(SYS_io_uring_setup, 1, parameters);
}

static long connected(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (strlen(path) >= sizeof address.sun_path)
        errx(2, "%s is too long a name for a socket", path);
    strcpy(address.sun_path, path);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
        return -1;
    return fd;
}

static long held(const char *kind, const char *argument)
{
    if (strcmp(kind, "bpf") == 0)
        return map();
    if (strcmp(kind, "perf") == 0)
        return event();
    if (strcmp(kind, "userfaultfd") == 0)
        return syscall(SYS_userfaultfd, 0);
    if (strcmp(kind, "io_uring") == 0)
        return ring();
    if (strcmp(kind, "fscontext") == 0)
        return syscall(SYS_fsopen, "tmpfs", 0);
    if (strcmp(kind, "packet") == 0)
        return socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL));
    if (strcmp(kind, "raw") == 0)
        return socket(AF_INET, SOCK_RAW, IPPROTO_TCP);
    if (strcmp(kind, "unix") == 0)
        return connected(argument);
    errx(2, "unknown kind %s", kind);
}

int main(int argc, char **argv)
{
    if (argc < 4)
        errx(2, "usage: hold KIND ARGUMENT PROGRAM...");
    if (strcmp(argv[1], "ptrace") == 0) {
        if (ptrace(PTRACE_SEIZE, atoi(argv[2]), 0, 0) < 0)
            err(1, "ptrace(PTRACE_SEIZE, %s)", argv[2]);
    } else {
        long fd = held(argv[1], argv[2]);
        /* Some are closed at an exec; a duplicate is not. */
        if (fd < 0 || fcntl((int)fd, F_DUPFD, 3) < 0)
            err(1, "%s %s", argv[1], argv[2]);
    }
    execvp(argv[3], argv + 3);
    err(1, "%s", argv[3]);
}

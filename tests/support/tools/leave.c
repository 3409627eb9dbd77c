/* Leaves a container altogether: every namespace of a host process, its cgroups, then a program of the host. Nothing is
   left that says where it came from but its ancestry, and with a double fork, as a daemon does it, not even its parent.
   leave fork|stay HOST-PID CGROUP-DIRECTORY PROGRAM [ARGUMENT...]
   CGROUP-DIRECTORY is the tree of version 2, or holds one hierarchy of version 1 a subdirectory, as seen before leaving;
   `-` stays in the cgroups. */
#define _GNU_SOURCE
#include <dirent.h>
#include <err.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static int move_here(const char *directory)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/cgroup.procs", directory);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    int done = fd >= 0 && write(fd, "0", 1) == 1;
    if (fd >= 0)
        close(fd);
    return done;
}

static void leave_cgroups(const char *directory)
{
    if (move_here(directory))
        return;
    DIR *hierarchies = opendir(directory);
    struct dirent *entry;
    if (!hierarchies)
        err(1, "%s", directory);
    while ((entry = readdir(hierarchies))) {
        char path[PATH_MAX];
        if (entry->d_name[0] == '.' || entry->d_type == DT_LNK)
            continue;
        snprintf(path, sizeof path, "%s/%s", directory, entry->d_name);
        if (!move_here(path))
            warn("%s", path);
    }
    closedir(hierarchies);
}

static void join_namespaces(const char *pid)
{
    /* The mount namespace last: after it the other files could not be found. */
    static const char *const kinds[] = {"ipc", "uts", "net", "cgroup", "pid", "mnt"};
    for (unsigned i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        char path[PATH_MAX];
        snprintf(path, sizeof path, "/proc/%s/ns/%s", pid, kinds[i]);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0 || setns(fd, 0) < 0)
            err(1, "%s", path);
        close(fd);
    }
}

int main(int argc, char **argv)
{
    if (argc < 5)
        errx(2, "usage: leave fork|stay HOST-PID CGROUP-DIRECTORY PROGRAM [ARGUMENT...]");
    if (strcmp(argv[3], "-") != 0)
        leave_cgroups(argv[3]);
    join_namespaces(argv[2]);
    if (strcmp(argv[1], "fork") == 0) {
        pid_t first = fork();
        if (first < 0)
            err(1, "fork");
        if (first > 0) {
            waitpid(first, NULL, 0);
            return 0;
        }
        setsid();
        if (fork() != 0)
            _exit(0);
    }
    execve(argv[4], argv + 4, environ);
    err(1, "%s", argv[4]);
}

/* One thread of the process joins a namespace, with no exec: the process' own links in /proc say nothing of it.
   thread_setns NAMESPACE-FILE DURATION */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

static void *join(void *argument)
{
    int fd = open(argument, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        err(1, "open %s", (char *)argument);
    /* setns(2): a mount namespace can be joined only by a task that shares its root and cwd with no other. */
    if (unshare(CLONE_FS) < 0)
        err(1, "unshare(CLONE_FS)");
    if (setns(fd, 0) < 0)
        err(1, "setns %s", (char *)argument);
    close(fd);
    for (;;)
        pause();
}

int main(int argc, char **argv)
{
    pthread_t thread;
    if (argc != 3)
        errx(2, "usage: thread_setns NAMESPACE-FILE DURATION");
    if (pthread_create(&thread, NULL, join, argv[1]) != 0)
        errx(1, "pthread_create");
    sleep((unsigned)atoi(argv[2]));
    return 0;
}

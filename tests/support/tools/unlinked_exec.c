/* Runs a program after its last name is gone: exe reads `PATH (deleted)`.
   unlinked_exec PROGRAM ARGUMENT0 [ARGUMENT...]      PROGRAM is unlinked. */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <unistd.h>

extern char **environ;

int main(int argc, char **argv)
{
    if (argc < 3)
        errx(2, "usage: unlinked_exec PROGRAM ARGUMENT0 [ARGUMENT...]");
    int fd = open(argv[1], O_PATH | O_CLOEXEC);
    if (fd < 0 || unlink(argv[1]) < 0)
        err(1, "%s", argv[1]);
    execveat(fd, "", argv + 2, environ, AT_EMPTY_PATH);
    err(1, "execveat");
}

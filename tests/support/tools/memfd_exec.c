/* Runs a copy of a program that lies in memory only: exe reads `/memfd:NAME (deleted)`.
   memfd_exec PROGRAM ARGUMENT0 [ARGUMENT...] */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

extern char **environ;

int main(int argc, char **argv)
{
    struct stat found;
    if (argc < 3)
        errx(2, "usage: memfd_exec PROGRAM ARGUMENT0 [ARGUMENT...]");
    int source = open(argv[1], O_RDONLY | O_CLOEXEC);
    if (source < 0 || fstat(source, &found) < 0)
        err(1, "%s", argv[1]);
    int memory = memfd_create("payload", MFD_CLOEXEC);
    if (memory < 0)
        err(1, "memfd_create");
    for (off_t left = found.st_size; left > 0;) {
        ssize_t sent = sendfile(memory, source, NULL, (size_t)left);
        if (sent <= 0)
            err(1, "sendfile");
        left -= sent;
    }
    fexecve(memory, argv + 2, environ);
    err(1, "fexecve");
}

/* An honest set-uid helper, as su and sudo are: installed set-uid root, becomes root wholly, runs a program.
   setuid_run PROGRAM [ARGUMENT...] */
#include <err.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    if (argc < 2)
        errx(2, "usage: setuid_run PROGRAM [ARGUMENT...]");
    if (setgid(0) < 0 || setuid(0) < 0)
        err(1, "setuid");
    execvp(argv[1], argv + 1);
    err(1, "%s", argv[1]);
}

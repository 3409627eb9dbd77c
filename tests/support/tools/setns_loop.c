/* Goes out to a namespace and back again, many times, and ends where it began: out for 60 ms, in for 60 ms.
   setns_loop NAMESPACE-FILE ROUNDS DURATION      DURATION (seconds) it sleeps after the last round, at home. */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    char home[64] = "/proc/self/ns/";
    if (argc != 4)
        errx(2, "usage: setns_loop NAMESPACE-FILE ROUNDS DURATION");
    const char *kind = strrchr(argv[1], '/');
    strncat(home, kind ? kind + 1 : argv[1], sizeof home - strlen(home) - 1);
    int out = open(argv[1], O_RDONLY | O_CLOEXEC);
    int in = open(home, O_RDONLY | O_CLOEXEC);
    if (out < 0 || in < 0)
        err(1, "%s, %s", argv[1], home);
    for (int rounds = atoi(argv[2]); rounds > 0; rounds--) {
        if (setns(out, 0) < 0)
            err(1, "setns out");
        usleep(60000);
        if (setns(in, 0) < 0)
            err(1, "setns back");
        usleep(60000);
    }
    sleep((unsigned)atoi(argv[3]));
    return 0;
}

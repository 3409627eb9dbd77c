/* What a careful entry point does before its program: gives up capabilities for good, forbids new privileges and puts a
   system call filter of its own (which allows everything) on itself.
   harden PROGRAM [ARGUMENT...] */
#include <err.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    struct sock_filter allow[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    struct sock_fprog program = {.len = 1, .filter = allow};
    if (argc < 2)
        errx(2, "usage: harden PROGRAM [ARGUMENT...]");
    for (unsigned long number = 0; prctl(PR_CAPBSET_READ, number) >= 0; number++)
        if (prctl(PR_CAPBSET_READ, number) == 1 && prctl(PR_CAPBSET_DROP, number) < 0)
            err(1, "capability %lu", number);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
        err(1, "prctl");
    execvp(argv[1], argv + 1);
    err(1, "%s", argv[1]);
}

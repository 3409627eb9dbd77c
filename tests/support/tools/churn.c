/* Forks many children that live for a moment: churn COUNT [PROGRAM]; with a program each child runs it. */
#include <err.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    if (argc < 2)
        errx(2, "usage: churn COUNT [PROGRAM]");
    for (int count = atoi(argv[1]); count > 0; count--) {
        pid_t child = fork();
        if (child < 0)
            err(1, "fork");
        if (child == 0) {
            if (argc > 2)
                execlp(argv[2], argv[2], (char *)0);
            _exit(0);
        }
        if (count % 50 == 0)
            while (waitpid(-1, NULL, WNOHANG) > 0)
                ;
    }
    while (wait(NULL) > 0)
        ;
    return 0;
}

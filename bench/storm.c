/* What the eBPF benchmark runs in its container: a round of each workload for each SIGUSR1.
   storm EXECS CALLS ROUNDS: prints its pid, then "<name> <seconds> <CPU seconds>" for each workload, and "round".
   storm flood RATE SECONDS: changes its directory between mounts so often, once for SIGUSR1; prints how often. It ends in /proc.
   storm: ends at once; it is what the first of them executes. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char *self;

static double now(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec + at.tv_nsec * 1e-9;
}

static double cpu_of(int who)
{
    struct rusage usage;
    getrusage(who, &usage);
    return usage.ru_utime.tv_sec + usage.ru_stime.tv_sec + (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
}

static double cpu(void)
{
    return cpu_of(RUSAGE_SELF) + cpu_of(RUSAGE_CHILDREN);
}

static void execs(long count) /* posix_spawn(3) is vfork and exec */
{
    char *arguments[] = {(char *)self, 0}, *nothing[] = {0};
    for (long i = 0; i < count; i++) {
        pid_t pid;
        if (posix_spawn(&pid, self, 0, 0, arguments, nothing) == 0)
            waitpid(pid, 0, 0);
    }
}

static void opens(long count)
{
    for (long i = 0; i < count; i++)
        close(open(self, O_RDONLY));
}

static void getppids(long count)
{
    for (long i = 0; i < count; i++)
        syscall(SYS_getppid);
}

static void measure(const char *name, void (*work)(long), long count)
{
    double started = now(), used = cpu();
    work(count);
    printf("%ld %s %.6f %.6f\n", count, name, now() - started, cpu() - used);
}

static void flood(long rate, long seconds)
{
    long count = 0, total = (rate * seconds) | 1, batch = rate / 1000 > 0 ? rate / 1000 : 1;
    double started = now();
    while (count < total) {
        for (long i = 0; i < batch && count < total; i++)
            if (chdir(++count & 1 ? "/proc" : "/"))
                exit(1);
        double early = started + (double)count / rate - now();
        if (early > 0)
            usleep((useconds_t)(early * 1e6));
    }
    printf("flood %ld %.6f\n", count, now() - started);
}

int main(int argc, char **argv)
{
    sigset_t wake;
    int number;
    if (argc < 4)
        return 0;
    self = argv[0];
    sigemptyset(&wake);
    sigaddset(&wake, SIGUSR1);
    sigprocmask(SIG_BLOCK, &wake, 0);
    setvbuf(stdout, 0, _IOLBF, 0);
    printf("%d\n", (int)getpid());
    if (!strcmp(argv[1], "flood")) {
        sigwait(&wake, &number);
        flood(atol(argv[2]), atol(argv[3]));
        sleep(600);
    }
    for (long round = 0; round < atol(argv[3]); round++) {
        sigwait(&wake, &number);
        measure("vfork+exec", execs, atol(argv[1]));
        measure("openat+close", opens, atol(argv[2]));
        measure("getppid", getppids, atol(argv[2]));
        printf("round\n");
    }
    sleep(1);
    return 0;
}

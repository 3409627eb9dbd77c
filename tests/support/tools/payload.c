/* What the kernel is tricked into running on the host: says who it is in a file beside itself, then stays for 3 seconds.
   The path of the file is that of the program with `.ran` at its end. */
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

int main(void)
{
    char path[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - 8);
    if (length <= 0)
        return 1;
    snprintf(path + length, 8, ".ran");
    FILE *file = fopen(path, "w");
    if (!file)
        return 1;
    fprintf(file, "%d %d\n", (int)getpid(), (int)getppid());
    fclose(file);
    sleep(3);
    return 0;
}

/* Dies of SIGABRT, so that the kernel writes a core dump. */
#include <stdlib.h>

int main(void)
{
    abort();
}

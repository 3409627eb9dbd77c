/* Waits at a unix socket for one descriptor (SCM_RIGHTS, unix(7)); then works in that directory, or only holds it.
   receive_directory SOCKET enter|hold DURATION */
#define _GNU_SOURCE
#include <err.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char byte;
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec data = {.iov_base = &byte, .iov_len = 1};
    struct msghdr message = {
        .msg_iov = &data, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};

    if (argc != 4 || strlen(argv[1]) >= sizeof address.sun_path)
        errx(2, "usage: receive_directory SOCKET enter|hold DURATION");
    strcpy(address.sun_path, argv[1]);
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof address) < 0 || listen(listener, 1) < 0)
        err(1, "%s", argv[1]);
    alarm((unsigned)atoi(argv[3]));
    int peer = accept(listener, NULL, NULL);
    if (peer < 0 || recvmsg(peer, &message, 0) < 0)
        err(1, "recvmsg");
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (!header || header->cmsg_type != SCM_RIGHTS)
        errx(1, "no descriptor came");
    int fd;
    memcpy(&fd, CMSG_DATA(header), sizeof fd);
    if (strcmp(argv[2], "enter") == 0) {
        if (fchdir(fd) < 0)
            err(1, "fchdir");
        close(fd);
    }
    close(peer);
    close(listener);
    sleep((unsigned)atoi(argv[3]));
    return 0;
}

/* Attaches a copy of a directory's mount inside the mount namespace of another process (open_tree(2), move_mount(2)).
   graft_mount SOURCE PID TARGET      SOURCE is seen from here, TARGET from the other namespace. */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef OPEN_TREE_CLONE /* include/uapi/linux/mount.h */
#define OPEN_TREE_CLONE 1
#endif
#ifndef MOVE_MOUNT_F_EMPTY_PATH
#define MOVE_MOUNT_F_EMPTY_PATH 0x00000004
#endif

int main(int argc, char **argv)
{
    char path[PATH_MAX];
    if (argc != 4)
        errx(2, "usage: graft_mount SOURCE PID TARGET");
    int tree = (int)syscall(SYS_open_tree, AT_FDCWD, argv[1], OPEN_TREE_CLONE | O_CLOEXEC);
    if (tree < 0)
        err(1, "open_tree %s", argv[1]);
    snprintf(path, sizeof path, "/proc/%s/ns/mnt", argv[2]);
    int space = open(path, O_RDONLY | O_CLOEXEC);
    if (space < 0 || setns(space, CLONE_NEWNS) < 0)
        err(1, "%s", path);
    if (syscall(SYS_move_mount, tree, "", AT_FDCWD, argv[3], MOVE_MOUNT_F_EMPTY_PATH) < 0)
        err(1, "move_mount %s", argv[3]);
    return 0;
}

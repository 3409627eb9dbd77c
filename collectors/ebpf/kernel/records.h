/* SPDX-License-Identifier: GPL-2.0-only */
/* What goes to user space, byte by byte. `collectors/ebpf/records.py` decodes it; a change here is a change there. */
#ifndef HULLWATCH_RECORDS_H
#define HULLWATCH_RECORDS_H

#include "kernel.h"

#define MAX_CGROUPS 16
#define PATH_BYTES 512
#define NAME_BYTES 256
#define PATH_COMPONENTS 24
#define ARGUMENT_BYTES 256

enum kind {
	KIND_ROW = 1, /* of the task iterator */
	KIND_EXEC = 2,
	KIND_CHANGE = 3, /* the confinement is another one than was known last */
	KIND_REFUSED = 4, /* a watched system call failed */
	KIND_EXIT = 5,
	KIND_CGROUP = 6, /* a cgroup was made */
	KIND_ACT = 7, /* `techniques.h` */
	KIND_STREAM_EXEC = 8, /* `streaming.h` */
	KIND_STREAM_EXIT = 9,
};

enum cause { /* of a change, where no system call is the cause */
	CAUSE_EXEC = -1,
	CAUSE_FORK = -2,
	CAUSE_EXIT = -3,
	CAUSE_SIGNAL = -4, /* of an act, as the following */
	CAUSE_FOREIGN_CALL = -5, /* a system call of another architecture */
	CAUSE_CHANGE = -6, /* of an inode */
	CAUSE_CONNECTION = -7, /* over TCP */
	CAUSE_IO_URING = -8,
};

enum flag {
	FLAG_KERNEL_THREAD = 1,
	FLAG_EXITING = 2,
	FLAG_PARENT_IS_KERNEL = 4,
	FLAG_CANDIDATE = 8, /* nobody has judged yet whether it is in a container */
	FLAG_TOLD = 16, /* user space has heard of it before */
	FLAG_LAST = 32, /* of an exit: nobody who bears its session's mark is left */
};

struct header {
	__u32 size; /* of the whole record, which is cut behind its last string */
	__u16 kind;
	__u16 flags;
	__u64 boot_ns; /* CLOCK_BOOTTIME */
	__u64 start_ns; /* of the task, as above: its identity together with tid */
	__u64 leader_start_ns;
	__u32 tid;
	__u32 tgid;
	__u32 parent_tgid;
	__u32 session; /* the mark that user space gave, inherited since; 0 is none */
	__s32 call; /* number of the system call, or `enum cause` */
	__s32 result; /* of the system call */
};

/* Compared word by word: no padding, nothing in it that changes by itself. */
struct vector {
	__u32 namespaces[8]; /* mnt pid net ipc uts user cgroup time */
	__u64 root_inode;
	__u32 root_device;
	__u32 root_mount;
	__u32 cwd_mount;
	__u32 no_new_privs;
	__u32 ids[8]; /* uid gid suid sgid euid egid fsuid fsgid */
	__u64 capabilities[5]; /* inheritable permitted effective bounding ambient */
	__u32 seccomp_mode;
	__u32 seccomp_filters;
	__u64 css_set; /* never shown: a fingerprint of the combination of cgroups */
};
#define VECTOR_WORDS (sizeof(struct vector) / 8)

struct program {
	__u64 inode;
	__u64 changed_ns;
	__u32 device;
	__u32 mount;
	__u32 mode;
	__u32 owner;
	__u32 links;
	__u32 terminal; /* device number of the task's controlling one; 0 is none */
	__u64 mark[3]; /* start_code end_code start_stack */
};

struct place {
	__u64 inode;
	__u32 device;
	__u32 mount;
};

struct cgroup_id {
	__u64 id;
	__u32 hierarchy;
	__u32 _unused;
};

struct record {
	struct header header;
	struct vector vector;
	struct place cwd;
	__u64 ran_ns;
	char comm[16];
	__u32 ns_pid;
	__u32 cgroup_count;
	struct program program;
	struct cgroup_id cgroups[MAX_CGROUPS];
	/* A row ends here. */
	__u32 arguments_size;
	__u32 path_size;
	char arguments[ARGUMENT_BYTES]; /* as they are in memory */
	char path[PATH_BYTES]; /* its components, the last first, each with its NUL; cut behind them */
};

struct cgroup_record {
	struct header header;
	struct cgroup_id cgroup;
	char path[PATH_BYTES];
};

/* A row of the iterator that names the cgroups of living tasks. */
struct cgroup_row {
	struct cgroup_id cgroup;
	__u32 path_size;
	__u32 _unused;
	char path[PATH_BYTES]; /* its components, the last first, each with its NUL */
};

#endif

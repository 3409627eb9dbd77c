/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Files and directories of the host that user space watches, by what the kernel itself calls them, whatever path, mount
 * or descriptor leads there. Who looks them up: opening.h and changing.h.
 */
#ifndef HULLWATCH_WATCHED_H
#define HULLWATCH_WATCHED_H

#include "techniques.h"

#define MAX_WATCHED 16384
#define MAX_DIRECTORIES_UP 8

enum watch_flag {
	WATCH_READ = 1,
	WATCH_WRITE = 2,
	WATCH_ENTRIES = 4, /* of a directory: what is made or written in it */
	WATCH_BELOW = 8, /* and in the directories below */
	WATCH_ROOT = 16, /* the host's root directory: its file system is remembered */
};

struct object_key {
	__u64 inode;
	__u32 device;
	__u32 generation; /* an inode number may come again, for another file */
};

struct watched {
	__u32 index; /* user space's own number of the object */
	__u32 flags;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, MAX_WATCHED);
	__type(key, struct object_key);
	__type(value, struct watched);
} watched SEC(".maps");

/* One bit for each remainder of an inode's number: most files are told from the watched ones by it alone. */
#define SIEVE_BITS 65536
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SIEVE_BITS / 64);
	__type(key, __u32);
	__type(value, __u64);
} sieve SEC(".maps");

static __always_inline int may_be_watched(__u64 inode)
{
	__u32 word = inode % SIEVE_BITS / 64;
	__u64 *bits = bpf_map_lookup_elem(&sieve, &word);
	return bits && *bits >> inode % 64 & 1;
}

struct host_place {
	__u32 root_device;
	__u32 mnt_namespace;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct host_place);
} host_places SEC(".maps");

static __always_inline struct watched *find_watched(struct inode *inode, __u64 number)
{
	if (!may_be_watched(number))
		return 0;
	struct object_key key = {
		.inode = number,
		.device = BPF_CORE_READ(inode, i_sb, s_dev),
		.generation = BPF_CORE_READ(inode, i_generation),
	};
	return bpf_map_lookup_elem(&watched, &key);
}

/* The watched directory that a dentry is in, or below. */
static __noinline struct watched *find_directory(struct dentry *dentry)
{
	struct dentry *parent = BPF_CORE_READ(dentry, d_parent);
	struct head head;
	for (int i = 0; i < MAX_DIRECTORIES_UP; i++) {
		if (!parent || parent == dentry)
			return 0;
		dentry = parent;
		READ_HEAD(&head, dentry);
		struct inode *inode = FROM_HEAD(&head, dentry, struct dentry, d_inode);
		struct watched *found = find_watched(inode, BPF_CORE_READ(inode, i_ino));
		if (found && (found->flags & (i ? WATCH_BELOW : WATCH_BELOW | WATCH_ENTRIES)))
			return found;
		parent = FROM_HEAD(&head, dentry, struct dentry, d_parent);
	}
	return 0;
}

struct watch_request {
	__u64 fd; /* of the task that runs the program */
	__u64 index;
	__u64 flags;
	__u64 mnt_namespace;
};

/* User space has opened an object and wants it watched; it runs this program itself (BPF_PROG_TEST_RUN). */
SEC("raw_tp")
int watch(struct watch_request *request)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct file *file = file_of(task, request->fd);
	struct inode *inode = BPF_CORE_READ(file, f_inode);
	struct object_key key = {
		.inode = BPF_CORE_READ(inode, i_ino),
		.device = BPF_CORE_READ(inode, i_sb, s_dev),
		.generation = BPF_CORE_READ(inode, i_generation),
	};
	struct watched object = {.index = request->index, .flags = request->flags};
	if (!inode)
		return 1;
	if (object.flags & WATCH_ROOT) {
		struct host_place place = {.root_device = key.device, .mnt_namespace = request->mnt_namespace};
		__u32 zero = 0;
		return bpf_map_update_elem(&host_places, &zero, &place, BPF_ANY) < 0;
	}
	__u32 word = key.inode % SIEVE_BITS / 64;
	__u64 *bits = bpf_map_lookup_elem(&sieve, &word);
	if (bits)
		__sync_fetch_and_or(bits, 1ULL << key.inode % 64);
	return bpf_map_update_elem(&watched, &key, &object, BPF_ANY) < 0;
}

#endif

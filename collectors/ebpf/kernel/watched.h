/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Files and directories of the host that user space watches, by what the kernel itself calls them, whatever path, mount
 * or descriptor leads there. Looked at are the files that a task of a container has opened (after the fact), and inodes
 * that it changed in whatever way: a rename or a link onto a directory changes that directory.
 */
#ifndef HULLWATCH_WATCHED_H
#define HULLWATCH_WATCHED_H

#include "techniques.h"

#define MAX_WATCHED 16384
#define MAX_DIRECTORIES_UP 8

#define FIRST_NAMESPACE 0xeffffff0UL /* include/linux/proc_ns.h, fs/proc/generic.c: PROC_DYNAMIC_FIRST and before */
#define PERMISSIONS_OF_OTHERS 0077
#define FMODE_READ 1 /* include/linux/fs.h */
#define FMODE_WRITE 2
#define S_IFREG 0100000
#define S_IFDIR 0040000

/* include/uapi/linux/magic.h */
#define NSFS_MAGIC 0x6e736673UL
#define PROC_MAGIC 0x9fa0UL
#define CGROUP_MAGIC 0x27e0ebUL
#define SYSFS_MAGIC 0x62656572UL
#define SECURITYFS_MAGIC 0x73636673UL
#define EFIVARFS_MAGIC 0xde5e81e4UL
#define TRACEFS_MAGIC 0x74726163UL
#define DEBUGFS_MAGIC 0x64626720UL
#define BINFMT_MISC_MAGIC 0x42494e4dUL

enum watch_flag {
	WATCH_READ = 1,
	WATCH_WRITE = 2,
	WATCH_ENTRIES = 4, /* of a directory: what is made or written in it */
	WATCH_BELOW = 8, /* and in the directories below */
	WATCH_ROOT = 16, /* the host's root directory: its file system is remembered */
};

enum how {
	HOW_READ = 1,
	HOW_WRITTEN = 2, /* opened for writing */
	HOW_ENTRY = 3, /* opened for writing, in a watched directory */
	HOW_CHANGED = 4, /* the object itself: content, name, mode, or a directory's entries */
	HOW_KERNEL = 5, /* opened for writing, and a file that is the kernel's own */
	HOW_MEMORY = 6, /* of another process */
	HOW_ENVIRON = 7,
	HOW_HOST_MOUNT = 8, /* opened for writing, through a mount of the host's own mount namespace */
	HOW_MODE = 9, /* made set-uid or set-gid */
	HOW_CAPABILITIES = 10, /* given file capabilities */
	HOW_CONNECTED = 11, /* to a process, or to an address */
	HOW_DEVICE = 12, /* opened: a disk, or a character device that may lead into the kernel */
	HOW_NAMESPACE = 13, /* opened: a namespace that is not the task's own */
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

static __always_inline struct dentry *name_of(struct inode *inode)
{
	unsigned long first = (unsigned long)BPF_CORE_READ(inode, i_dentry.first);
	return first ? (struct dentry *)(first - bpf_core_field_offset(struct dentry, d_u)) : 0;
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

static __always_inline int is_the_kernels(__u64 magic)
{
	return magic == SYSFS_MAGIC || magic == SECURITYFS_MAGIC || magic == EFIVARFS_MAGIC || magic == TRACEFS_MAGIC ||
	       magic == DEBUGFS_MAGIC || magic == BINFMT_MISC_MAGIC;
}

/* Of cgroup v1 only what makes the kernel run a program: release_agent and notify_on_release. */
static __always_inline int is_release(struct dentry *dentry)
{
	char name[12] = {};
	bpf_probe_read_kernel_str(name, sizeof(name), BPF_CORE_READ(dentry, d_name.name));
	return (name[0] == 'r' && name[1] == 'e' && name[8] == 'a' && name[9] == 'g') ||
	       (name[0] == 'n' && name[1] == 'o' && name[6] == '_' && name[9] == '_');
}

/* Whose file of a proc file system it is; 0 for those that are nobody's. */
static __always_inline __u32 process_of_file(struct inode *inode)
{
	struct proc_inode *own = (void *)((unsigned long)inode - bpf_core_field_offset(struct proc_inode, vfs_inode));
	struct pid *pid = BPF_CORE_READ(own, pid);
	return pid ? BPF_CORE_READ(pid, numbers[0].nr) : 0;
}

static __always_inline int tell_file(struct task_record *known, struct file *file, struct inode *inode, __u32 how,
				     __u32 index, __u64 call_and_result)
{
	struct act_room *room = get_act_room();
	if (!room)
		return 0;
	read_object(room, file);
	room->act.how = how;
	room->act.watched = index;
	return tell_act(room, known, (room->act.inode << 8 | how) ^ (__u64)room->act.device << 40, call_and_result);
}

/* Of character devices those that user space has in its table (collectors/device_numbers.py), and more of their majors. */
static __always_inline int is_notable_device(__u32 mode, __u32 device)
{
	__u32 major = device >> 20, minor = device & 0xfffff;
	if ((mode & S_IFMT) == S_IFBLK)
		return 1;
	if (major == 1)
		return minor == 1 || minor == 2 || minor == 4; /* mem, kmem, port */
	return major == 10 || major == 13 || major == 21 || major == 162 || major == 202;
}

static __noinline int opened_a_device(struct task_record *known, struct file *file, __u32 mode, __u64 call_and_result)
{
	struct inode *inode = BPF_CORE_READ(file, f_inode);
	__u32 device = BPF_CORE_READ(inode, i_rdev);
	struct act_room *room = get_act_room();
	if (!room || !is_notable_device(mode, device))
		return 0;
	read_object(room, file);
	room->act.device = device;
	room->act.how = HOW_DEVICE;
	return tell_act(room, known, (__u64)device << 32 | mode, call_and_result);
}

static __noinline int opened_a_namespace(struct task_record *known, struct file *file, __u64 call_and_result)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct inode *inode = BPF_CORE_READ(file, f_inode);
	__u32 number = BPF_CORE_READ(inode, i_ino);
	struct act_room *room = get_act_room();
	if (!room)
		return 0;
	read_vector(&room->vector, task);
	for (int i = 0; i < 8; i++) {
		if (room->vector.namespaces[i] == number)
			return 0;
	}
	read_object(room, file);
	room->act.how = HOW_NAMESPACE;
	return tell_act(room, known, number, call_and_result);
}

/* A process' memory or environment, or a value of the kernel: all that is told of a proc file system. */
static __noinline int opened_a_proc_file(struct task_record *known, struct file *file, __u32 mode, __u64 call_and_result)
{
	struct inode *inode = BPF_CORE_READ(file, f_inode);
	struct dentry *dentry = BPF_CORE_READ(file, f_path.dentry);
	__u32 tid = process_of_file(inode);
	char name[8] = {};

	if (!tid)
		return mode & FMODE_WRITE ? tell_file(known, file, inode, HOW_KERNEL, 0, call_and_result) : 0;
	bpf_probe_read_kernel_str(name, sizeof(name), BPF_CORE_READ(dentry, d_name.name));
	int is_memory = name[0] == 'm' && name[1] == 'e' && name[2] == 'm' && !name[3];
	int is_environ = name[0] == 'e' && name[1] == 'n' && name[2] == 'v' && name[3] == 'i';
	if ((!is_memory && !is_environ) || is_same_scope(known, tid))
		return 0;
	struct act_room *room = get_act_room();
	if (!room)
		return 0;
	read_object(room, file);
	read_target(&room->act, tid);
	room->act.how = is_memory ? HOW_MEMORY : HOW_ENVIRON;
	return tell_act(room, known, (room->act.target_start_ns + tid) << 8 | room->act.how, call_and_result);
}

/* Through a mount of the host's own mount namespace, which no container was given, a file of the host's root. */
static __always_inline int is_through_host(struct file *file, struct inode *inode)
{
	__u32 zero = 0;
	struct host_place *host = bpf_map_lookup_elem(&host_places, &zero);
	if (!host || !host->mnt_namespace || BPF_CORE_READ(inode, i_sb, s_dev) != host->root_device)
		return 0;
	struct mount *mount = mount_of(BPF_CORE_READ(file, f_path.mnt));
	return BPF_CORE_READ(mount, mnt_ns, ns.inum) == host->mnt_namespace;
}

static __noinline int opened_for_writing(struct task_record *known, struct file *file, __u64 call_and_result)
{
	struct inode *inode = BPF_CORE_READ(file, f_inode);
	__u32 mode = BPF_CORE_READ(inode, i_mode);
	struct watched *directory = find_directory(BPF_CORE_READ(file, f_path.dentry));
	if (directory)
		return tell_file(known, file, inode, HOW_ENTRY, directory->index, call_and_result);
	__u64 magic = BPF_CORE_READ(inode, i_sb, s_magic);
	if (is_the_kernels(magic) || (magic == CGROUP_MAGIC && is_release(BPF_CORE_READ(file, f_path.dentry))))
		return tell_file(known, file, inode, HOW_KERNEL, 0, call_and_result);
	if ((mode & S_IFMT) == S_IFREG && is_through_host(file, inode))
		return tell_file(known, file, inode, HOW_HOST_MOUNT, 0, call_and_result);
	return 0;
}

/* A task of a container has opened a file. Most are none of those that anybody watches: this is where it must be quick. */
static __noinline int opened(struct task_record *known, struct file *file, __u64 call_and_result)
{
	struct head head;
	READ_HEAD(&head, file);
	struct inode *inode = FROM_HEAD(&head, file, struct file, f_inode);
	__u32 mode = FROM_HEAD(&head, file, struct file, f_mode);
	READ_HEAD(&head, inode);
	__u64 number = FROM_HEAD(&head, inode, struct inode, i_ino);
	__u32 kind = FROM_HEAD(&head, inode, struct inode, i_mode);
	struct watched *object = find_watched(inode, number);

	if (object && (mode & FMODE_WRITE ? object->flags & WATCH_WRITE : object->flags & WATCH_READ))
		return tell_file(known, file, inode, mode & FMODE_WRITE ? HOW_WRITTEN : HOW_READ, object->index,
				 call_and_result);
	if ((kind & S_IFMT) == S_IFBLK || (kind & S_IFMT) == S_IFCHR)
		return opened_a_device(known, file, kind, call_and_result);
	struct super_block *file_system = FROM_HEAD(&head, inode, struct inode, i_sb);
	if (number >= FIRST_NAMESPACE && number >> 32 == 0 && BPF_CORE_READ(file_system, s_magic) == NSFS_MAGIC)
		return opened_a_namespace(known, file, call_and_result);
	if (!(mode & FMODE_WRITE) && kind & PERMISSIONS_OF_OTHERS) /* no process' memory, and no environment */
		return 0;
	if (BPF_CORE_READ(file_system, s_magic) == PROC_MAGIC)
		return opened_a_proc_file(known, file, mode, call_and_result);
	return mode & FMODE_WRITE ? opened_for_writing(known, file, call_and_result) : 0;
}

/* An inode gets a new change time: its content, its mode, its name or, for a directory, what is in it has changed. */
static __noinline int changed(struct inode *inode)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct task_record *known = find_task(task);
	if (!may_be_contained(task, known))
		return 0;
	struct dentry *dentry = name_of(inode);
	if (!dentry) /* being read from the disk */
		return 0;
	struct watched *object = find_watched(inode, BPF_CORE_READ(inode, i_ino));
	if (object && !(object->flags & (WATCH_WRITE | WATCH_ENTRIES | WATCH_BELOW)))
		return 0;
	if (!object && (BPF_CORE_READ(inode, i_mode) & S_IFMT) == S_IFDIR) {
		object = find_directory(dentry);
		if (object && !(object->flags & WATCH_BELOW))
			return 0;
	}
	if (!object)
		return 0;
	struct act_room *room = get_act_room();
	if (!room)
		return 0;
	room->act.inode = BPF_CORE_READ(inode, i_ino);
	room->act.device = BPF_CORE_READ(inode, i_sb, s_dev);
	room->act.mode = BPF_CORE_READ(inode, i_mode);
	room->act.how = HOW_CHANGED;
	room->act.watched = object->index;
	return tell_act(room, known, (room->act.inode << 8 | HOW_CHANGED) ^ (__u64)room->act.device << 40,
			pack(CAUSE_CHANGE, 0));
}

/* Both from 6.13 on (include/trace/events/timestamp.h): file systems with and without fine-grained times. */
SEC("tp_btf/ctime_ns_xchg")
int BPF_PROG(on_change, struct inode *inode)
{
	return changed(inode);
}

SEC("tp_btf/inode_set_ctime_to_ts")
int BPF_PROG(on_coarse_change, struct inode *inode)
{
	return changed(inode);
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

#define S_ISUID 0004000
#define S_ISGID 0002000
#define CAPABILITY_ATTRIBUTE "security.capability"

/* A path that is in user memory: evidence, for where the file itself is not at hand. */
static __always_inline void read_path_of_user(struct act *act, __u64 address)
{
	long size = bpf_probe_read_user_str(act->path, sizeof(act->path), (void *)address);
	act->path_size = size > 0 && size <= sizeof(act->path) ? size : 0;
}

/* chmod, fchmod and fchmodat have set the mode that is in a register, with set-uid or set-gid in it. */
static __noinline int changed_mode(struct task_record *known, __u32 class, __u64 call_and_result)
{
	struct task_struct *task = bpf_get_current_task_btf();
	if ((__s32)call_and_result < 0)
		return 0;
	struct act_room *room = get_act_room();
	if (!room)
		return 0;
	read_arguments_of_call(&room->act, task);
	__u64 mode = class == CALL_CHANGES_MODE_AT ? room->act.arguments[2] : room->act.arguments[1];
	if (!(mode & (S_ISUID | S_ISGID)))
		return 0;
	if (class == CALL_CHANGES_MODE_OF)
		read_object(room, file_of(task, room->act.arguments[0]));
	else
		read_path_of_user(&room->act, room->act.arguments[class == CALL_CHANGES_MODE_AT]);
	room->act.mode = mode;
	room->act.how = HOW_MODE;
	return tell_act(room, known, bpf_get_prandom_u32(), call_and_result);
}

static __noinline int set_attribute(struct task_record *known, __u32 class, __u64 call_and_result)
{
	struct task_struct *task = bpf_get_current_task_btf();
	char name[sizeof(CAPABILITY_ATTRIBUTE)] = {};
	if ((__s32)call_and_result < 0)
		return 0;
	struct act_room *room = get_act_room();
	if (!room)
		return 0;
	read_arguments_of_call(&room->act, task);
	int is_at = class == CALL_SETS_ATTRIBUTE_AT;
	bpf_probe_read_user_str(name, sizeof(name), (void *)(is_at ? room->act.arguments[3] : room->act.arguments[1]));
	for (int i = 0; i < sizeof(name); i++) {
		if (name[i] != CAPABILITY_ATTRIBUTE[i])
			return 0;
	}
	if (class == CALL_SETS_ATTRIBUTE_OF)
		read_object(room, file_of(task, room->act.arguments[0]));
	else
		read_path_of_user(&room->act, is_at ? room->act.arguments[1] : room->act.arguments[0]);
	room->act.how = HOW_CAPABILITIES;
	return tell_act(room, known, bpf_get_prandom_u32(), call_and_result);
}

/* A call of `enum act_class` that is about files has returned. */
static __noinline int acted_on_file(struct task_record *known, __u32 class, __u64 call_and_result)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__s32 result = call_and_result;
	switch (class) {
	case CALL_OPENS:
		return result < 0 ? 0 : opened(known, file_of(task, result), call_and_result);
	case CALL_CHANGES_MODE:
	case CALL_CHANGES_MODE_OF:
	case CALL_CHANGES_MODE_AT:
		return changed_mode(known, class, call_and_result);
	case CALL_SETS_ATTRIBUTE:
	case CALL_SETS_ATTRIBUTE_OF:
	case CALL_SETS_ATTRIBUTE_AT:
		return set_attribute(known, class, call_and_result);
	}
	return 0;
}

#endif

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Files that a task of a container has opened, looked at after the fact: watched ones, and those that are a way out by
 * what they are: devices, namespaces, the memory of others, and what the kernel is told by writing it.
 */
#ifndef HULLWATCH_OPENING_H
#define HULLWATCH_OPENING_H

#include "watched.h"

#define FIRST_NAMESPACE 0xeffffff0UL /* include/linux/proc_ns.h, fs/proc/generic.c: PROC_DYNAMIC_FIRST and before */
#define PERMISSIONS_OF_OTHERS 0077
#define FMODE_READ 1 /* include/linux/fs.h */
#define FMODE_WRITE 2

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

/*
 * Whether nobody would be told of this open file, whoever opened it: not watched, no device, no namespace, opened for reading
 * only, and readable to others (no process' memory, and no environment). Asked before the task is looked up, in the tables
 * of which the host's tasks are found as well: so only of a task in another mount namespace than the host's.
 */
static __noinline int is_dull_to_open(struct task_struct *task, __u32 number)
{
	__u32 zero = 0;
	struct host_place *host = bpf_map_lookup_elem(&host_places, &zero);
	struct nsproxy *proxy = task->nsproxy;
	if (!host || !proxy || proxy->mnt_ns->ns.inum == host->mnt_namespace)
		return 0;
	struct open_file seen;
	look_at(&seen, file_of(task, number));
	if (seen.mode & FMODE_WRITE || ((seen.kind & S_IFMT) != S_IFREG && (seen.kind & S_IFMT) != S_IFDIR))
		return 0;
	return seen.kind & PERMISSIONS_OF_OTHERS && seen.number < FIRST_NAMESPACE && !may_be_watched(seen.number);
}

/* A task of a container has opened a file. Most are none of those that anybody watches. */
static __noinline int opened(struct task_record *known, struct file *file, __u64 call_and_result)
{
	struct open_file seen;
	look_at(&seen, file);
	struct inode *inode = seen.inode;
	__u32 mode = seen.mode, kind = seen.kind;
	struct watched *object = find_watched(inode, seen.number);

	if (object && (mode & FMODE_WRITE ? object->flags & WATCH_WRITE : object->flags & WATCH_READ))
		return tell_file(known, file, inode, mode & FMODE_WRITE ? HOW_WRITTEN : HOW_READ, object->index,
				 call_and_result);
	if ((kind & S_IFMT) == S_IFBLK || (kind & S_IFMT) == S_IFCHR)
		return opened_a_device(known, file, kind, call_and_result);
	struct super_block *file_system = seen.file_system;
	if (seen.number >= FIRST_NAMESPACE && seen.number >> 32 == 0 && BPF_CORE_READ(file_system, s_magic) == NSFS_MAGIC)
		return opened_a_namespace(known, file, call_and_result);
	if (!(mode & FMODE_WRITE) && kind & PERMISSIONS_OF_OTHERS) /* no process' memory, and no environment */
		return 0;
	if (BPF_CORE_READ(file_system, s_magic) == PROC_MAGIC)
		return opened_a_proc_file(known, file, mode, call_and_result);
	return mode & FMODE_WRITE ? opened_for_writing(known, file, call_and_result) : 0;
}

#endif

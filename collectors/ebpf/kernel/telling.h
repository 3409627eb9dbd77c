/* SPDX-License-Identifier: GPL-2.0-only */
/* Makes a whole record of a task and hands it over. Paths are walked along dentries, with a bound: evidence only. */
#ifndef HULLWATCH_TELLING_H
#define HULLWATCH_TELLING_H

#include "confinement.h"

/* Since 6.13 the uppermost bit says that somebody asked for the time (include/linux/fs.h: I_CTIME_QUERIED). */
#define CTIME_NANOSECONDS 0x7fffffffU

/* Plain loads where the kernel is new; the verifier knows the inode's type. */
static __always_inline __u64 changed_ns(struct inode *inode)
{
	if (bpf_core_field_exists(inode->i_ctime_sec))
		return inode->i_ctime_sec * 1000000000ULL + (inode->i_ctime_nsec & CTIME_NANOSECONDS);
	struct inode___6_6 *newer = (void *)inode;
	if (bpf_core_field_exists(newer->__i_ctime))
		return newer->__i_ctime.tv_sec * 1000000000ULL + newer->__i_ctime.tv_nsec;
	struct inode___old *older = (void *)inode;
	return older->i_ctime.tv_sec * 1000000000ULL + older->i_ctime.tv_nsec;
}

static __always_inline struct file *executable_of(struct task_struct *task)
{
	struct mm_struct *mm = task->mm;
	return mm ? mm->exe_file : 0;
}

/*
 * The name of each directory from the file up to the root of its mount namespace, or of its file system where `mount` is
 * null; returns how many bytes.
 */
static __noinline __u32 read_names(struct record *to, struct dentry *dentry, struct mount *mount)
{
	__u32 used = 0;

	for (int i = 0; i < PATH_COMPONENTS; i++) {
		struct dentry *parent = BPF_CORE_READ(dentry, d_parent);
		int is_nowhere = dentry == parent; /* the root of a file system, or a file that no directory ever named */
		if (dentry == BPF_CORE_READ(mount, mnt.mnt_root)) {
			struct mount *above = BPF_CORE_READ(mount, mnt_parent);
			if (above == mount)
				break;
			dentry = BPF_CORE_READ(mount, mnt_mountpoint);
			mount = above;
			continue;
		}
		if (used > PATH_BYTES - NAME_BYTES)
			break;
		long size = bpf_probe_read_kernel_str(to->path + used, NAME_BYTES, BPF_CORE_READ(dentry, d_name.name));
		if (size <= 0 || size > NAME_BYTES)
			break;
		used += size;
		if (is_nowhere)
			break;
		dentry = parent;
	}
	return used;
}

static __always_inline __u32 read_path(struct record *to, struct file *file)
{
	return read_names(to, BPF_CORE_READ(file, f_path.dentry), mount_of(BPF_CORE_READ(file, f_path.mnt)));
}

static __always_inline __u32 terminal_of(struct task_struct *task)
{
	struct tty_struct *tty = BPF_CORE_READ(task, signal, tty);
	struct tty_driver *driver = BPF_CORE_READ(tty, driver);
	if (!tty || !driver)
		return 0;
	return BPF_CORE_READ(driver, major) << 20 | (BPF_CORE_READ(driver, minor_start) + BPF_CORE_READ(tty, index));
}

static __noinline void read_program(struct record *to, struct task_struct *task)
{
	struct mm_struct *mm = task->mm;
	struct file *file = executable_of(task);
	struct program *program = &to->program;

	__builtin_memset(program, 0, sizeof(*program));
	program->terminal = terminal_of(task);
	if (!mm || !file)
		return;
	struct inode *inode = file->f_inode;
	program->inode = inode->i_ino;
	program->device = inode->i_sb->s_dev;
	program->mount = mount_id(file->f_path.mnt);
	program->changed_ns = changed_ns(inode);
	program->mode = inode->i_mode;
	program->owner = inode->i_uid.val;
	program->links = inode->i_nlink;
	program->mark[0] = mm->start_code;
	program->mark[1] = mm->end_code;
	program->mark[2] = mm->start_stack;
}

static __noinline void read_cgroups(struct record *to, struct task_struct *task)
{
	struct css_set *set = BPF_CORE_READ(task, cgroups);
	unsigned long head = (unsigned long)set + bpf_core_field_offset(struct css_set, cgrp_links);
	unsigned long at = (unsigned long)BPF_CORE_READ((struct list_head *)head, next);
	__u32 count = 0;

	for (int i = 0; i < MAX_CGROUPS; i++) {
		if (!at || at == head)
			break;
		struct cgrp_cset_link *link = (void *)(at - bpf_core_field_offset(struct cgrp_cset_link, cgrp_link));
		struct cgroup *cgroup = BPF_CORE_READ(link, cgrp);
		to->cgroups[i].id = BPF_CORE_READ(cgroup, kn, id);
		to->cgroups[i].hierarchy = BPF_CORE_READ(cgroup, root, hierarchy_id);
		to->cgroups[i]._unused = 0;
		count++;
		at = (unsigned long)BPF_CORE_READ((struct list_head *)at, next);
	}
	to->cgroup_count = count;
}

/* Everything but the vector, the cgroups and the strings; `known` may be missing. */
static __always_inline void fill(struct record *to, struct task_struct *task, struct task_record *known, __u32 kind)
{
	struct task_struct *parent = task->real_parent;
	struct fs_struct *fs = task->fs;
	struct upid *number = own_number(task);
	__u32 flags = task->flags;

	to->header.kind = kind;
	to->header.flags = (flags & PF_KTHREAD ? FLAG_KERNEL_THREAD : 0) | (flags & PF_EXITING ? FLAG_EXITING : 0) |
			   (parent->flags & PF_KTHREAD ? FLAG_PARENT_IS_KERNEL : 0) |
			   (known && known->is_told ? FLAG_TOLD : 0);
	to->header.boot_ns = bpf_ktime_get_boot_ns();
	to->header.start_ns = task->start_boottime;
	to->header.leader_start_ns = task->group_leader->start_boottime;
	to->header.tid = task->pid;
	to->header.tgid = task->tgid;
	to->header.parent_tgid = parent->tgid;
	to->header.session = known ? known->session : 0;
	to->header.call = 0;
	to->header.result = 0;
	__builtin_memset(&to->cwd, 0, sizeof(to->cwd));
	if (fs) {
		struct inode *inode = fs->pwd.dentry->d_inode;
		to->cwd.inode = inode->i_ino;
		to->cwd.device = inode->i_sb->s_dev;
		to->cwd.mount = mount_id(fs->pwd.mnt);
	}
	to->ran_ns = task->se.sum_exec_runtime;
	bpf_core_read(to->comm, sizeof(to->comm), &task->comm);
	to->ns_pid = BPF_CORE_READ(number, nr);
	read_program(to, task);
}

/* What a row has not: the path of its program. */
static __always_inline void read_path_of_program(struct record *to, struct task_struct *task)
{
	struct file *file = executable_of(task);
	to->path_size = file ? read_path(to, file) : 0;
}

/* Its own arguments; only for the task that runs now, since they are in its memory. */
static __always_inline void read_arguments(struct record *to, struct task_struct *task)
{
	struct mm_struct *mm = BPF_CORE_READ(task, mm);
	to->arguments_size = 0;
	if (!mm)
		return;
	unsigned long start = BPF_CORE_READ(mm, arg_start);
	unsigned long size = BPF_CORE_READ(mm, arg_end) - start;
	if (size > ARGUMENT_BYTES)
		size = ARGUMENT_BYTES;
	if (size && bpf_probe_read_user(to->arguments, size, (void *)start) == 0)
		to->arguments_size = size;
}

static __always_inline void send(struct record *record, __u64 size)
{
	record->header.size = size;
	if (bpf_ringbuf_output(&ring, record, size, 0) < 0)
		count(COUNTER_LOST);
}

/* BPF functions take five arguments. */
static __always_inline __u64 pack(long call, long result)
{
	return (__u64)call << 32 | (__u32)result;
}

/* `task` is the one that runs now, or its new child; the vector is in the room already. */
static __noinline void tell(struct room *room, struct task_struct *task, struct task_record *known, __u32 kind,
			    __u64 call_and_result)
{
	struct record *record = &room->record;
	fill(record, task, known, kind);
	read_cgroups(record, task);
	read_path_of_program(record, task);
	record->vector = room->vector;
	if (known && is_candidate(known, &room->vector))
		record->header.flags |= FLAG_CANDIDATE;
	record->header.call = (__s32)(call_and_result >> 32);
	record->header.result = (__s32)call_and_result;
	read_arguments(record, (struct task_struct *)bpf_get_current_task_btf());
	if (known)
		known->is_told = 1;
	__u64 path_size = record->path_size;
	if (path_size > PATH_BYTES)
		path_size = PATH_BYTES;
	send(record, __builtin_offsetof(struct record, path) + path_size);
}

#endif

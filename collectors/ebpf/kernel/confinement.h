/* SPDX-License-Identifier: GPL-2.0-only */
/* Reads what confines a task from where the kernel holds it; never an argument in user memory. */
#ifndef HULLWATCH_CONFINEMENT_H
#define HULLWATCH_CONFINEMENT_H

#include "maps.h"

static __always_inline struct mount *mount_of(struct vfsmount *mnt)
{
	return (struct mount *)((unsigned long)mnt - bpf_core_field_offset(struct mount, mnt));
}

static __always_inline __u32 mount_id(struct vfsmount *mnt)
{
	struct mount *mount = mount_of(mnt);
	return mnt ? BPF_CORE_READ(mount, mnt_id) : 0;
}

static __always_inline struct upid *own_number(struct task_struct *task)
{
	struct pid *pid = BPF_CORE_READ(task, thread_pid);
	unsigned int level = BPF_CORE_READ(pid, level);
	return (struct upid *)((unsigned long)pid + bpf_core_field_offset(struct pid, numbers) +
			       level * bpf_core_type_size(struct upid));
}

/* Plain loads for a task of the host's own pid namespace, which most are. */
static __always_inline __u32 pid_namespace_of(struct task_struct *task)
{
	struct pid *pid = task->thread_pid;
	if (!pid)
		return 0;
	if (pid->level == 0)
		return pid->numbers[0].ns->ns.inum;
	struct upid *number = own_number(task);
	return BPF_CORE_READ(number, ns, ns.inum);
}

/*
 * Which combination of cgroups a task is in. The address of its css_set alone would not do: a task that is moved leaves
 * an empty set behind, which is freed, and may be given the same address for the set where it ends up. `states` is room
 * for the states of its controllers, which would be a quarter of the stack.
 */
static __always_inline __u64 fingerprint(struct css_set *set, __u64 *states)
{
	__u64 mixed = (__u64)set;
	__u32 size = bpf_core_field_size(set->subsys);
	if (size > MAX_CONTROLLERS * sizeof(*states))
		size = MAX_CONTROLLERS * sizeof(*states);
	__builtin_memset(states, 0, MAX_CONTROLLERS * sizeof(*states));
	bpf_probe_read_kernel(states, size, (void *)set + bpf_core_field_offset(set->subsys));
#pragma clang loop unroll(disable)
	for (int i = 0; i < MAX_CONTROLLERS; i++)
		mixed = mixed * 0x9E3779B97F4A7C15ULL + states[i];
	return mixed * 0x9E3779B97F4A7C15ULL + (__u64)BPF_CORE_READ(set, dfl_cgrp);
}

/* Plain loads where the verifier knows the type; a helper for each of them would cost ten times as much. */
static __noinline void read_vector(struct vector *to, struct task_struct *task)
{
	struct nsproxy *proxy = task->nsproxy;
	const struct cred *cred = task->real_cred;
	struct fs_struct *fs = task->fs;
	_Static_assert(sizeof(*to) >= MAX_CONTROLLERS * sizeof(__u64), "what is filled in last is room until then");
	__u64 css_set = fingerprint(BPF_CORE_READ(task, cgroups), (__u64 *)to);

	if (proxy) { /* an ending task has none */
		to->namespaces[0] = proxy->mnt_ns->ns.inum;
		to->namespaces[2] = proxy->net_ns->ns.inum;
		to->namespaces[3] = proxy->ipc_ns->ns.inum;
		to->namespaces[4] = proxy->uts_ns->ns.inum;
		to->namespaces[6] = proxy->cgroup_ns->ns.inum;
		to->namespaces[7] = proxy->time_ns->ns.inum;
	} else {
		__builtin_memset(to->namespaces, 0, sizeof(to->namespaces));
	}
	to->namespaces[1] = pid_namespace_of(task);
	to->namespaces[5] = cred->user_ns->ns.inum;
	to->root_inode = 0;
	to->root_device = to->root_mount = to->cwd_mount = 0;
	if (fs) {
		struct inode *inode = fs->root.dentry->d_inode;
		to->root_inode = inode->i_ino;
		to->root_device = inode->i_sb->s_dev;
		to->root_mount = mount_id(fs->root.mnt);
		to->cwd_mount = fs->pwd.mnt == fs->root.mnt ? to->root_mount : mount_id(fs->pwd.mnt);
	}
	to->no_new_privs = (task->atomic_flags >> PFA_NO_NEW_PRIVS) & 1;
	bpf_core_read(to->ids, sizeof(to->ids), &cred->uid);
	bpf_core_read(to->capabilities, sizeof(to->capabilities), &cred->cap_inheritable);
	to->seccomp_mode = task->seccomp.mode;
	to->seccomp_filters = task->seccomp.filter_count.counter;
	to->css_set = css_set;
}

static __always_inline int is_same(const struct vector *a, const struct vector *b)
{
	const __u64 *left = (const __u64 *)a, *right = (const __u64 *)b;
	__u64 difference = 0;
#pragma unroll
	for (int i = 0; i < VECTOR_WORDS; i++)
		difference |= left[i] ^ right[i];
	return !difference;
}

/* Whether user space must look at it: it is in no container that we know, and not where it was when it was judged. */
static __always_inline int is_candidate(const struct task_record *known, const struct vector *now)
{
	if (known->session)
		return 0;
	return !known->is_judged || known->judged_mnt != now->namespaces[0] || known->judged_pid != now->namespaces[1] ||
	       known->judged_css_set != now->css_set;
}

#endif

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Mounts that a task of a container makes, told when the call returns: by what the kernel holds of the mount itself, never
 * by the paths and names that the call was given. A mount that is gone a moment later is in no table that anybody reads.
 */
#ifndef HULLWATCH_MOUNTING_H
#define HULLWATCH_MOUNTING_H

#include "techniques.h"

#define MAX_TREE_DEPTH 48 /* of 16 million mounts: twice the logarithm (Documentation/core-api/rbtree.rst) */
#define MAX_CURSORS 4

/* include/uapi/linux/mount.h */
#define MS_REMOUNT 32
#define MS_BIND 4096
#define MS_MOVE 8192
#define MS_PROPAGATES (1 << 17 | 1 << 18 | 1 << 19 | 1 << 20) /* UNBINDABLE PRIVATE SLAVE SHARED */
#define MS_MGC_VAL 0xC0ED0000UL /* what programs of old set; its bits are no flags */
#define MS_MGC_MSK 0xffff0000UL
#define OPEN_TREE_CLONE 1
#define MNT_CURSOR 0x10000000 /* include/linux/mount.h: no mount, but how far somebody has read a table, from 5.8 to 6.7 */

/* Others may mount in the namespace too, between the call's work and its return: then theirs is told, and ours is not. */
static __noinline struct mount *newest_mount(struct mnt_namespace *namespace)
{
	if (bpf_core_field_exists(namespace->mounts)) {
		struct rb_node *node = BPF_CORE_READ(namespace, mounts.rb_node);
		for (int i = 0; i < MAX_TREE_DEPTH; i++) {
			struct rb_node *right = BPF_CORE_READ(node, rb_right);
			if (!right)
				break;
			node = right;
		}
		return node ? (void *)((unsigned long)node - bpf_core_field_offset(struct mount, mnt_node)) : 0;
	}
	struct mnt_namespace___old *older = (void *)namespace;
	struct list_head *at = BPF_CORE_READ(older, list.prev);
	for (int i = 0; i < MAX_CURSORS; i++) {
		struct mount *mount = (void *)((unsigned long)at - bpf_core_field_offset(struct mount, mnt_list));
		if (!(BPF_CORE_READ(mount, mnt.mnt_flags) & MNT_CURSOR))
			return mount;
		at = BPF_CORE_READ(at, prev);
	}
	return 0;
}

/* The flags of mount(2), which are in a register: whether it makes a mount at all. */
static __always_inline int makes_mount(__u64 flags)
{
	if ((flags & MS_MGC_MSK) == MS_MGC_VAL)
		flags &= ~MS_MGC_MSK;
	return !(flags & MS_REMOUNT) && (flags & MS_BIND || !(flags & (MS_PROPAGATES | MS_MOVE)));
}

/* The mount that an open file of the task stands for: its root, as fsmount(2) and open_tree(2) return it. */
static __always_inline struct mount *mount_of_descriptor(struct task_struct *task, __u32 number)
{
	struct file *file = file_of(task, number);
	struct vfsmount *mnt = BPF_CORE_READ(file, f_path.mnt);
	return mnt && BPF_CORE_READ(mnt, mnt_root) == BPF_CORE_READ(file, f_path.dentry) ? mount_of(mnt) : 0;
}

static __always_inline struct mount *mount_that_was_made(struct task_struct *task, struct act *act, __u32 class,
							 __u32 result)
{
	struct mnt_namespace *namespace = BPF_CORE_READ(task, nsproxy, mnt_ns);
	struct mount *mount = 0;
	switch (class) {
	case CALL_MOUNTS:
		mount = makes_mount(act->arguments[3]) ? newest_mount(namespace) : 0;
		/* One that came from the host's peers is another's: no new file system has a master. */
		return !mount || act->arguments[3] & MS_BIND || !BPF_CORE_READ(mount, mnt_master) ? mount : 0;
	case CALL_MOVES_MOUNT:
		mount = mount_of_descriptor(task, act->arguments[0]);
		return mount && BPF_CORE_READ(mount, mnt_ns) == namespace ? mount : 0;
	case CALL_CLONES_MOUNT:
		return act->arguments[2] & OPEN_TREE_CLONE ? mount_of_descriptor(task, result) : 0;
	}
	return mount_of_descriptor(task, result);
}

static __noinline void read_mount(struct act_room *room, struct mount *mount)
{
	struct mounted *to = &room->mounted;
	struct super_block *file_system = BPF_CORE_READ(mount, mnt.mnt_sb);
	struct dentry *root = BPF_CORE_READ(mount, mnt.mnt_root);

	to->id = BPF_CORE_READ(mount, mnt_id);
	to->parent_id = BPF_CORE_READ(mount, mnt_parent, mnt_id);
	to->flags = BPF_CORE_READ(mount, mnt.mnt_flags);
	to->group = BPF_CORE_READ(mount, mnt_group_id);
	to->master_group = BPF_CORE_READ(mount, mnt_master, mnt_group_id);
	room->act.inode = BPF_CORE_READ(root, d_inode, i_ino);
	room->act.device = BPF_CORE_READ(file_system, s_dev);
	room->act.file_system = BPF_CORE_READ(file_system, s_magic);
	to->type[0] = to->subtype[0] = to->source[0] = 0;
	bpf_probe_read_kernel_str(to->type, sizeof(to->type), BPF_CORE_READ(file_system, s_type, name));
	bpf_probe_read_kernel_str(to->subtype, sizeof(to->subtype), BPF_CORE_READ(file_system, s_subtype));
	bpf_probe_read_kernel_str(to->source, sizeof(to->source), BPF_CORE_READ(mount, mnt_devname));
	to->root_size = read_names(&room->record, root, 0);
	bpf_probe_read_kernel(to->root, PATH_BYTES, room->record.path);
	if (room->act.how == HOW_MOUNTED) {
		room->act.path_size =
			read_names(&room->record, BPF_CORE_READ(mount, mnt_mountpoint), BPF_CORE_READ(mount, mnt_parent));
		bpf_probe_read_kernel(room->act.path, PATH_BYTES, room->record.path);
	}
}

/* A call of the mount family has succeeded, by a task of a container, or one that is asked about. */
static __noinline int mounted(struct task_record *known, __u32 class, __u64 call_and_result)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct act_room *room = get_act_room();
	if (!room)
		return 0;
	read_arguments_of_call(&room->act, task);
	struct mount *mount = mount_that_was_made(task, &room->act, class, call_and_result);
	if (!mount)
		return 0;
	room->act.how = class < CALL_MAKES_MOUNT ? HOW_MOUNTED : HOW_DETACHED;
	read_mount(room, mount);
	return tell_act(room, known, (__u64)room->act.device << 32 ^ room->act.inode, call_and_result);
}

#endif

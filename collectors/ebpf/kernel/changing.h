/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Inodes that a task of a container changed in whatever way (a rename or a link onto a directory changes that directory),
 * and the bits and attributes that give a file rights.
 */
#ifndef HULLWATCH_CHANGING_H
#define HULLWATCH_CHANGING_H

#include "watched.h"

static __always_inline struct dentry *name_of(struct inode *inode)
{
	unsigned long first = (unsigned long)BPF_CORE_READ(inode, i_dentry.first);
	return first ? (struct dentry *)(first - bpf_core_field_offset(struct dentry, d_u)) : 0;
}

/* An inode gets a new change time: its content, its mode, its name or, for a directory, what is in it has changed. */
static __noinline int changed(struct inode *inode)
{
	if ((inode->i_mode & S_IFMT) != S_IFDIR && !may_be_watched(inode->i_ino)) /* most: before any table */
		return 0;
	struct task_struct *task = bpf_get_current_task_btf();
	struct task_record *known = find_actor(task);
	if (!may_be_contained(task, known))
		return 0;
	struct dentry *dentry = name_of(inode);
	if (!dentry) /* being read from the disk */
		return 0;
	struct watched *object = find_watched(inode, inode->i_ino);
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

/* The name of an attribute, of which at least so much is there. */
static __always_inline int is_capability(const char *name)
{
	for (int i = 0; i < sizeof(CAPABILITY_ATTRIBUTE); i++) {
		if (name[i] != CAPABILITY_ATTRIBUTE[i])
			return 0;
	}
	return 1;
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
	if (!is_capability(name))
		return 0;
	if (class == CALL_SETS_ATTRIBUTE_OF)
		read_object(room, file_of(task, room->act.arguments[0]));
	else
		read_path_of_user(&room->act, is_at ? room->act.arguments[1] : room->act.arguments[0]);
	room->act.how = HOW_CAPABILITIES;
	return tell_act(room, known, bpf_get_prandom_u32(), call_and_result);
}

#endif

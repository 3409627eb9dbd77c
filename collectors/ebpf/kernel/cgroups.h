/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Names of cgroups, so that a task's cgroups have names also when it is gone before we look: the path of every new one, of
 * one that is renamed (version 1 allows it, also to a container), and, for those that were there before, the paths of all that have tasks. Never what /proc shows of a task: a runtime's
 * process moves from cgroup to cgroup, and what it shows now is no name of where it was.
 */
#ifndef HULLWATCH_CGROUPS_H
#define HULLWATCH_CGROUPS_H

#include "telling.h"

static __always_inline int tell_cgroup(struct cgroup *cgroup, const char *path)
{
	struct room *room = get_room();
	if (!room)
		return 0;
	struct cgroup_record *record = (struct cgroup_record *)&room->record;
	count(COUNTER_CGROUPS);
	__builtin_memset(&record->header, 0, sizeof(record->header));
	record->header.kind = KIND_CGROUP;
	record->header.boot_ns = bpf_ktime_get_boot_ns();
	record->header.size = sizeof(*record);
	record->cgroup.id = BPF_CORE_READ(cgroup, kn, id);
	record->cgroup.hierarchy = BPF_CORE_READ(cgroup, root, hierarchy_id);
	record->cgroup._unused = 0;
	bpf_probe_read_kernel_str(record->path, sizeof(record->path), path);
	if (bpf_ringbuf_output(&ring, record, sizeof(*record), 0) < 0)
		count(COUNTER_LOST);
	return 0;
}

SEC("tp_btf/cgroup_mkdir")
int BPF_PROG(on_cgroup, struct cgroup *cgroup, const char *path)
{
	return tell_cgroup(cgroup, path);
}

SEC("tp_btf/cgroup_rename")
int BPF_PROG(on_cgroup_renamed, struct cgroup *cgroup, const char *path)
{
	return tell_cgroup(cgroup, path);
}

static __always_inline struct kernfs_node *parent_of(struct kernfs_node *node)
{
	struct kernfs_node___old *older = (void *)node;
	if (bpf_core_field_exists(node->__parent))
		return BPF_CORE_READ(node, __parent);
	return BPF_CORE_READ(older, parent);
}

/* Its name and those of the cgroups above it, without the root, which has none. */
static __noinline int name_cgroup(struct cgroup_row *to, struct cgroup *cgroup)
{
	struct kernfs_node *node = BPF_CORE_READ(cgroup, kn);
	__u32 used = 0;

	to->cgroup.id = BPF_CORE_READ(node, id);
	to->cgroup.hierarchy = BPF_CORE_READ(cgroup, root, hierarchy_id);
	for (int i = 0; i < PATH_COMPONENTS; i++) {
		struct kernfs_node *above = parent_of(node);
		if (!above)
			break;
		if (used > PATH_BYTES - NAME_BYTES)
			return 0; /* cut: no name at all */
		long size = bpf_probe_read_kernel_str(to->path + used, NAME_BYTES, BPF_CORE_READ(node, name));
		if (size <= 0 || size > NAME_BYTES)
			return 0;
		used += size;
		node = above;
	}
	to->path_size = used;
	return !parent_of(node);
}

/* The cgroups of all tasks, those of each set once in a pass. */
SEC("iter/task")
int each_cgroup(struct bpf_iter__task *context)
{
	struct task_struct *task = context->task;
	struct settings *set = get_settings();
	__u32 zero = 0;
	struct cgroup_room *room = bpf_map_lookup_elem(&cgroup_room, &zero);
	if (!task || !room || !set)
		return 0;
	struct css_set *cgroups = BPF_CORE_READ(task, cgroups);
	__u64 address = (__u64)cgroups;
	__u32 *named = bpf_map_lookup_elem(&named_sets, &address), pass = set->naming;
	if (named && *named == pass)
		return 0;
	unsigned long head = (unsigned long)cgroups + bpf_core_field_offset(struct css_set, cgrp_links);
	unsigned long at = (unsigned long)BPF_CORE_READ((struct list_head *)head, next);
	for (int i = 0; i < MAX_CGROUPS; i++) {
		if (!at || at == head)
			break;
		struct cgrp_cset_link *link = (void *)(at - bpf_core_field_offset(struct cgrp_cset_link, cgrp_link));
		if (name_cgroup(&room->row, BPF_CORE_READ(link, cgrp)) &&
		    bpf_seq_write(context->meta->seq, &room->row, sizeof(room->row)) < 0)
			return 0; /* no room: the kernel asks for this task again, and all of it */
		at = (unsigned long)BPF_CORE_READ((struct list_head *)at, next);
	}
	bpf_map_update_elem(&named_sets, &address, &pass, BPF_ANY);
	return 0;
}

/* A task in another cgroup is judged anew: an address of the old set may come again. */
SEC("tp_btf/cgroup_attach_task")
int BPF_PROG(on_cgroup_move, struct cgroup *cgroup, const char *path, struct task_struct *task)
{
	struct task_record *known = find_task(task);
	if (known && !known->session)
		known->is_judged = 0;
	return 0;
}

#endif

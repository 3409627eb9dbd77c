/* SPDX-License-Identifier: GPL-2.0-only */
/* The path of every new cgroup, so that a task's cgroups have names also when it is gone before we look. */
#ifndef HULLWATCH_CGROUPS_H
#define HULLWATCH_CGROUPS_H

#include "telling.h"

SEC("tp_btf/cgroup_mkdir")
int BPF_PROG(on_cgroup, struct cgroup *cgroup, const char *path)
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

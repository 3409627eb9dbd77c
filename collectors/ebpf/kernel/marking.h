/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What user space has decided about a task. It is a program that user space runs (BPF_PROG_TEST_RUN), so that it writes
 * these fields of a record and no others, while the kernel writes those.
 */
#ifndef HULLWATCH_MARKING_H
#define HULLWATCH_MARKING_H

#include "maps.h"

struct verdict {
	__u64 tid;
	__u64 start_ns;
	__u64 session;
	__u64 scope;
	__u64 mnt; /* where the task was when it was judged */
	__u64 pid;
	__u64 css_set;
};

SEC("raw_tp")
int judge(struct verdict *verdict)
{
	__u32 tid = verdict->tid;
	struct task_record *known = bpf_map_lookup_elem(&tasks, &tid);
	if (!known || known->start_ns != verdict->start_ns)
		return 1;
	known->scope = verdict->scope;
	if (known->session != verdict->session) {
		if (known->session)
			departed(known->session);
		if (verdict->session)
			joined(verdict->session);
		known->session = verdict->session;
	}
	known->judged_mnt = verdict->mnt;
	known->judged_pid = verdict->pid;
	known->judged_css_set = verdict->css_set;
	known->is_judged = 1;
	known->is_told = 1;
	*(volatile __u32 *)&known->is_asked = 0; /* last: on_fork reads it first */
	return 0;
}

#endif

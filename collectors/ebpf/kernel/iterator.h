/* SPDX-License-Identifier: GPL-2.0-only */
/* The sweep: one row for each task, threads too. A task that is met here first is remembered from now on. */
#ifndef HULLWATCH_ITERATOR_H
#define HULLWATCH_ITERATOR_H

#include "telling.h"

SEC("iter/task")
int each_task(struct bpf_iter__task *context)
{
	struct task_struct *task = context->task;
	__u32 zero = 0;
	struct room *room = bpf_map_lookup_elem(&iterator_room, &zero);
	if (!task || !room)
		return 0;
	struct task_record *known = find_task(task);
	read_vector(&room->vector, task);
	if (!known) {
		__builtin_memset(&room->task, 0, sizeof(room->task));
		room->task.last = room->vector;
		known = remember(task, &room->task);
	}
	struct record *row = &room->record;
	fill(row, task, known, KIND_ROW);
	if (row->vector.css_set != room->vector.css_set) /* else it is in the cgroups of the row before, which stand there */
		read_cgroups(row, task);
	row->vector = room->vector;
	if (known && is_candidate(known, &room->vector))
		row->header.flags |= FLAG_CANDIDATE;
	row->header.size = __builtin_offsetof(struct record, arguments_size);
	bpf_seq_write(context->meta->seq, row, __builtin_offsetof(struct record, arguments_size));
	return 0;
}

#endif

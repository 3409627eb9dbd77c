/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What is not notable, for who watches: each exec and each end of a process of the chosen containers, in records of their
 * own kind, of which no detector hears. It may take half of the ring, so that nothing notable is lost for it. While nobody
 * watches, it is one look at the settings.
 */
#ifndef HULLWATCH_STREAMING_H
#define HULLWATCH_STREAMING_H

#include "telling.h"

#define MAX_STREAMED 1024
#define BPF_RB_AVAIL_DATA 0 /* include/uapi/linux/bpf.h */
#define BPF_RB_RING_SIZE 1

/* Containers, as user space numbers them, when it does not want all. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, MAX_STREAMED);
	__type(key, __u32);
	__type(value, __u32);
} streamed_scopes SEC(".maps");

static __always_inline int is_streamed(struct task_record *known)
{
	struct settings *set = get_settings();
	if (!set || !set->streaming || !known->session)
		return 0;
	return set->streaming == STREAMING_ALL || bpf_map_lookup_elem(&streamed_scopes, &known->scope);
}

/* `task` runs now; the vector is in the room already. At its end `tgid` and the record name the process. */
static __noinline void stream(struct room *room, struct task_struct *task, struct task_record *known, __u32 kind)
{
	struct record *record = &room->record;
	if (bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA) > bpf_ringbuf_query(&ring, BPF_RB_RING_SIZE) / 2) {
		count(COUNTER_STREAM_LOST);
		return;
	}
	count(COUNTER_STREAMED);
	fill(record, task, known, kind);
	record->vector = room->vector;
	record->header.tid = record->header.tgid;
	record->header.start_ns = record->header.leader_start_ns;
	record->arguments_size = 0;
	if (kind == KIND_STREAM_EXEC)
		read_arguments(record, task);
	__u64 path_size = record->path_size;
	if (path_size > PATH_BYTES)
		path_size = PATH_BYTES;
	send(record, __builtin_offsetof(struct record, path) + path_size);
}

#endif

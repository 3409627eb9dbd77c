/* SPDX-License-Identifier: GPL-2.0-only */
/* The tables that the programs share with each other and with user space. */
#ifndef HULLWATCH_MAPS_H
#define HULLWATCH_MAPS_H

#include "records.h"

#define MAX_TASKS 65536
#define MAX_FILES 16384
#define RING_BYTES (4 * 1024 * 1024)
#define MAX_CALLS 512
#define MAX_CGROUP_SETS 8192

/* What is remembered of each task, by thread id; `start_ns` tells whether it still is that task. */
struct task_record {
	__u64 start_ns;
	__u32 session; /* which entry into a container it descends from; sticky through everything */
	__u32 scope; /* that container, as user space numbers it; 0 is the host */
	__u32 is_told;
	__u32 is_judged; /* user space has decided what it is, as long as the next three stay */
	__u32 judged_mnt;
	__u32 judged_pid;
	__u64 judged_css_set;
	__u32 has_pivoted; /* a runtime at work: its new root is in place, the old one is still mounted */
	__u32 is_asked; /* user space was told of its program, or its parent's, and has not judged it yet */
	struct vector last;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, MAX_TASKS);
	__type(key, __u32);
	__type(value, struct task_record);
} tasks SEC(".maps");

/* Files whose execution is no news in their scope: user space has looked at each once. A changed file has another key. */
struct file_key {
	__u64 inode;
	__u64 changed_ns;
	__u32 device;
	__u32 mount;
	__u32 scope;
	__u32 generation; /* of the scope: user space starts a new one when its judgement may be another now */
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, MAX_FILES);
	__type(key, struct file_key);
	__type(value, __u32);
} files SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, RING_BYTES);
} ring SEC(".maps");

/* How many tasks live that bear the mark of a session. User space takes an entry away when it forgets the session. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, MAX_TASKS);
	__type(key, __u32);
	__type(value, __u64);
} sessions SEC(".maps");

enum streaming {
	STREAMING_NONE,
	STREAMING_CHOSEN,
	STREAMING_ALL,
};

struct settings {
	__u32 host_generation;
	__u32 streaming; /* `streaming.h` */
	__u32 naming; /* the number of the pass that names cgroups */
	__u32 _unused;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct settings);
} settings SEC(".maps");

/* What a system call's number means here; 0 is nothing. Filled by user space, which knows the architecture. */
enum call_class {
	CALL_CHANGES = 1, /* compare the confinement when it returns */
	CALL_TELLS_REFUSAL = 2, /* and tell when it was refused */
	CALL_PIVOTS = 3, /* as 2; a runtime does it once on its way in */
	CALL_UNMOUNTS = 4, /* as 2; after the above, the container's mounts are what they will be */
	CALL_MOUNTS = 5, /* as 2; the newest mount of the task's namespace is told: mounting.h */
	CALL_MOVES_MOUNT = 6, /* as 2; that of the descriptor that was given, which is attached now */
	CALL_MAKES_MOUNT = 7, /* as 2; that of the descriptor that is returned, in no namespace yet */
	CALL_CLONES_MOUNT = 8, /* the same, if the call was to make one */
	/* from 16 on `enum act_class` of techniques.h */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_CALLS);
	__type(key, __u32);
	__type(value, __u32);
} calls SEC(".maps");

enum counter {
	COUNTER_FORKS,
	COUNTER_EXECS,
	COUNTER_EXITS,
	COUNTER_CALLS,
	COUNTER_CGROUPS,
	COUNTER_NOTABLE_EXECS,
	COUNTER_NOTABLE_CHANGES,
	COUNTER_NOTABLE_REFUSALS,
	COUNTER_NOTABLE_EXITS,
	COUNTER_LOST, /* no room in the ring */
	COUNTER_NOT_REMEMBERED, /* no room in `tasks` */
	COUNTER_NOTABLE_ACTS,
	COUNTER_STREAMED,
	COUNTER_STREAM_LOST, /* half of the ring was full */
	COUNTERS,
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, COUNTERS);
	__type(key, __u32);
	__type(value, __u64);
} counters SEC(".maps");

/* Room for what is too large for the stack. Tracepoints run with preemption disabled, so one for each CPU is enough. */
struct room {
	struct record record;
	char spill[NAME_BYTES]; /* a copy that is bounded by its start may end here */
	struct vector vector;
	struct task_record task;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct room);
} rooms SEC(".maps");

/* The iterator can be preempted, so it has a row of its own; user space runs one iterator at a time. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct room);
} iterator_room SEC(".maps");

/* The same for the iterator that names cgroups, and what it has been at in which pass: sets of cgroups. */
struct cgroup_room {
	struct cgroup_row row;
	char spill[NAME_BYTES];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct cgroup_room);
} cgroup_room SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, MAX_CGROUP_SETS);
	__type(key, __u64);
	__type(value, __u32);
} named_sets SEC(".maps");

/* What a call's return means; 0 for most, which have cost next to nothing by then. */
static __always_inline __u32 class_of(__u32 number)
{
	__u32 *class = bpf_map_lookup_elem(&calls, &number);
	return class ? *class : 0;
}

static __always_inline void count(__u32 which)
{
	__u64 *value = bpf_map_lookup_elem(&counters, &which);
	if (value)
		*value += 1;
}

static __always_inline struct room *get_room(void)
{
	__u32 zero = 0;
	return bpf_map_lookup_elem(&rooms, &zero);
}

static __always_inline struct settings *get_settings(void)
{
	__u32 zero = 0;
	return bpf_map_lookup_elem(&settings, &zero);
}

static __always_inline struct task_record *find_task(struct task_struct *task)
{
	__u32 tid = task->pid;
	struct task_record *found = bpf_map_lookup_elem(&tasks, &tid);
	return found && found->start_ns == task->start_boottime ? found : 0;
}

/* Or that of its process: a thread of io_uring's own is made without a fork that is told. */
static __always_inline struct task_record *find_actor(struct task_struct *task)
{
	struct task_record *known = find_task(task);
	__u32 tgid = task->tgid;
	return known ? known : bpf_map_lookup_elem(&tasks, &tgid);
}

/* One more task bears the mark of a session. */
static __always_inline void joined(__u32 session)
{
	__u64 one = 1, *living = bpf_map_lookup_elem(&sessions, &session);
	if (!living) {
		if (bpf_map_update_elem(&sessions, &session, &one, BPF_NOEXIST) == 0)
			return;
		living = bpf_map_lookup_elem(&sessions, &session); /* another CPU was first */
	}
	if (living)
		__sync_fetch_and_add(living, 1);
}

/* One less; returns whether it was the last. Two that end at once may both be told so, which user space takes as one. */
static __always_inline int departed(__u32 session)
{
	__u64 *living = bpf_map_lookup_elem(&sessions, &session);
	if (!living)
		return 0;
	__sync_fetch_and_add(living, -1);
	return *(volatile __u64 *)living == 0;
}

/* Remember a task as `record` says, which is copied; null when there is no room. */
static __always_inline struct task_record *remember(struct task_struct *task, struct task_record *record)
{
	__u32 tid = task->pid;
	record->start_ns = task->start_boottime;
	if (bpf_map_update_elem(&tasks, &tid, record, BPF_ANY) < 0) {
		count(COUNTER_NOT_REMEMBERED);
		return 0;
	}
	return bpf_map_lookup_elem(&tasks, &tid);
}

#endif

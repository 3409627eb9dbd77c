/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a task holds when a system call returns. Two ways in, one handler: the tracepoint of each single call, which
 * wants perf_event_open(2); or the one of all calls, which wants only bpf(2) and looks each number up.
 */
#ifndef HULLWATCH_CALLS_H
#define HULLWATCH_CALLS_H

#include "changing.h"
#include "connections.h"
#include "mounting.h"
#include "opening.h"

#define EPERM 1
#define EACCES 13

/*
 * A task that is in no container that we know. On its way in a runtime's process is half host, half container, and
 * nothing of that is told but the one moment at which its mounts are the container's: a first process that ends before
 * anybody looks is judged by them.
 */
static __always_inline int runtime_returned(struct room *room, struct task_struct *task, struct task_record *known,
					    __u32 class, __u64 call_and_result)
{
	if ((__s32)call_and_result < 0)
		return 0;
	if (class == CALL_PIVOTS)
		known->has_pivoted = 1;
	if (class != CALL_UNMOUNTS || !known->has_pivoted)
		return 0;
	known->has_pivoted = 0;
	read_vector(&room->vector, task);
	if (is_candidate(known, &room->vector)) {
		__u32 was_told = known->is_told;
		count(COUNTER_NOTABLE_CHANGES);
		tell(room, task, known, KIND_CHANGE, call_and_result);
		known->is_told = was_told; /* only its mounts are taken, itself it is met when it runs a program */
	}
	return 0;
}

/* A call of `enum act_class` that is about files has returned. */
static __always_inline int acted_on_file(struct task_record *known, __u32 class, __u64 call_and_result)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__s32 result = call_and_result;
	switch (class) {
	case CALL_OPENS:
		return result < 0 ? 0 : opened(known, file_of(task, result), call_and_result);
	case CALL_CHANGES_MODE:
	case CALL_CHANGES_MODE_OF:
	case CALL_CHANGES_MODE_AT:
		return changed_mode(known, class, call_and_result);
	case CALL_SETS_ATTRIBUTE:
	case CALL_SETS_ATTRIBUTE_OF:
	case CALL_SETS_ATTRIBUTE_AT:
		return set_attribute(known, class, call_and_result);
	}
	return 0;
}

/* A watched call has returned; kept out of the way of the others, which are most. */
static __noinline int returned(struct task_struct *task, __u32 class, __u32 number, long result)
{
	if (class == CALL_OPENS && (result < 0 || is_dull_to_open(task, result)))
		return 0;
	if (class >= CALL_ACTS) {
		struct task_record *actor = find_task(task);
		if (!may_be_contained(task, actor))
			return 0;
		if (class == CALL_CONNECTS)
			return result < 0 ? 0 : connected_by(actor, pack(number, result));
		return class < CALL_OPENS ? acted(actor, class, pack(number, result)) :
					    acted_on_file(actor, class, pack(number, result));
	}
	struct room *room = get_room();
	if (!room)
		return 0;
	count(COUNTER_CALLS);
	struct task_record *known = meet(room, task);
	if (!known)
		return 0;
	if (!known->session && !known->is_asked)
		return runtime_returned(room, task, known, class, pack(number, result));
	if (class == CALL_PIVOTS && result >= 0)
		known->has_pivoted = 1;
	if (class >= CALL_MOUNTS && result >= 0)
		mounted(known, class, pack(number, result));
	if (tell_if_changed(room, task, known, pack(number, result)))
		return 0;
	if (class == CALL_UNMOUNTS && result >= 0 && known->has_pivoted) { /* a sweep met the runtime at its work */
		known->has_pivoted = 0;
		count(COUNTER_NOTABLE_CHANGES);
		tell(room, task, known, KIND_CHANGE, pack(number, result));
		return 0;
	}
	if (class >= CALL_TELLS_REFUSAL && (result == -EPERM || result == -EACCES)) {
		count(COUNTER_NOTABLE_REFUSALS);
		tell(room, task, known, KIND_REFUSED, pack(number, result));
	}
	return 0;
}

SEC("tracepoint")
int on_call(struct trace_event_raw_sys_exit *context)
{
	__u32 class = class_of(context->id);
	return class ? returned(bpf_get_current_task_btf(), class, context->id, context->ret) : 0;
}

SEC("tp_btf/sys_exit")
int BPF_PROG(on_any_call, void *registers, long result)
{
	struct pt_regs___x86 *x86 = registers;
	struct pt_regs___on_arm64 *arm64 = registers;
	struct task_struct *task = bpf_get_current_task_btf();
	__u32 number = MAX_CALLS;
	if (bpf_core_field_exists(x86->orig_ax))
		number = x86->orig_ax;
	else if (bpf_core_field_exists(arm64->syscallno))
		number = arm64->syscallno;
	if (is_foreign_call(task)) {
		called_as_foreign(number);
		__u32 *native = bpf_map_lookup_elem(&foreign_calls, &number);
		number = native && *native ? *native - 1 : MAX_CALLS;
	}
	__u32 class = class_of(number);
	return class ? returned(task, class, number, result) : 0;
}

#endif

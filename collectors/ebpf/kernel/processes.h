/* SPDX-License-Identifier: GPL-2.0-only */
/* Fork, exec and exit keep the records, and tell of what is notable. */
#ifndef HULLWATCH_PROCESSES_H
#define HULLWATCH_PROCESSES_H

#include "streaming.h"

/* The record of a task; one that nobody has met yet gets one, and is a candidate. */
static __always_inline struct task_record *meet(struct room *room, struct task_struct *task)
{
	struct task_record *known = find_task(task);
	if (known)
		return known;
	__builtin_memset(&room->task, 0, sizeof(room->task));
	return remember(task, &room->task);
}

/* User space has looked at this file in this scope, and it was no news. */
static __always_inline int is_known_file(struct task_struct *task, __u32 scope)
{
	struct settings *set = get_settings();
	struct file *file = executable_of(task);
	if (!file)
		return 0;
	struct inode *inode = file->f_inode;
	struct file_key key = {
		.inode = inode->i_ino,
		.changed_ns = changed_ns(inode),
		.device = inode->i_sb->s_dev,
		.mount = mount_id(file->f_path.mnt),
		.scope = scope,
		.generation = !scope && set ? set->host_generation : 0,
	};
	return bpf_map_lookup_elem(&files, &key) != 0;
}

/*
 * Its parent is in no container, or in another one: a runtime sent it in. The program that it runs is what it becomes, also
 * when a sweep has met the runtime's process before, and though the program is no news.
 */
static __always_inline int is_sent_in(struct task_struct *task, struct task_record *known)
{
	struct task_record *parent = find_task(task->real_parent);
	return !parent || !parent->session || parent->scope != known->scope;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(on_exec, struct task_struct *task, int old_tid)
{
	struct room *room = get_room();
	if (!room)
		return 0;
	count(COUNTER_EXECS);
	if (old_tid != task->pid) { /* a thread executed: it has taken the place of the process' leader */
		__u32 old = old_tid;
		struct task_record *moved = bpf_map_lookup_elem(&tasks, &old), *leader = find_task(task);
		if (moved) {
			if (leader && leader->session)
				departed(leader->session);
			room->task = *moved;
			remember(task, &room->task);
			bpf_map_delete_elem(&tasks, &old);
		}
	}
	struct task_record *known = meet(room, task);
	read_vector(&room->vector, task);
	if (!known) {
		tell(room, task, 0, KIND_EXEC, pack(CAUSE_EXEC, 0));
		return 0;
	}
	int is_change = !is_same(&known->last, &room->vector);
	int is_notable = is_candidate(known, &room->vector);
	known->is_asked = is_notable;
	if (known->session)
		is_notable |= is_change | is_sent_in(task, known);
	if (!is_notable)
		is_notable = (task->real_parent->flags & PF_KTHREAD) || !is_known_file(task, known->scope);
	known->last = room->vector;
	if (is_notable) {
		count(COUNTER_NOTABLE_EXECS);
		tell(room, task, known, KIND_EXEC, pack(CAUSE_EXEC, 0));
	} else if (is_streamed(known)) {
		stream(room, task, known, KIND_STREAM_EXEC);
	}
	return 0;
}

/* Tell of a task of a container whose confinement is not what was known last, and know it from now on. */
static __always_inline int tell_if_changed(struct room *room, struct task_struct *task, struct task_record *known,
					   __u64 call_and_result)
{
	read_vector(&room->vector, task);
	if (is_same(&known->last, &room->vector))
		return 0;
	known->last = room->vector;
	count(COUNTER_NOTABLE_CHANGES);
	tell(room, task, known, KIND_CHANGE, call_and_result);
	return 1;
}

/* Whether fork can have given the child no other confinement than its parent's, which was compared a moment ago. */
static __always_inline int is_born_alike(struct task_struct *parent, struct task_struct *child)
{
	return parent->nsproxy == child->nsproxy && parent->cgroups == child->cgroups &&
	       parent->thread_pid->level == child->thread_pid->level &&
	       parent->real_cred->user_ns == child->real_cred->user_ns;
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(on_fork, struct task_struct *parent, struct task_struct *child)
{
	struct room *room = get_room();
	if (!room)
		return 0;
	count(COUNTER_FORKS);
	struct task_record *known = meet(room, parent);
	if (!known)
		return 0;
	__u32 is_asked = *(volatile __u32 *)&known->is_asked; /* before the mark, which user space may give meanwhile */
	if (known->session || is_asked)
		tell_if_changed(room, parent, known, pack(CAUSE_FORK, 0));
	room->task = *known;
	room->task.is_asked = is_asked;
	room->task.is_told = 0;
	struct task_record *born = remember(child, &room->task);
	if (born && born->session) {
		joined(born->session);
		if (!is_born_alike(parent, child))
			tell_if_changed(room, child, born, pack(CAUSE_FORK, 0));
	} else if (born && is_asked) { /* too early for its parent's mark: user space gives it one of its own */
		read_vector(&room->vector, child);
		born->last = room->vector;
		count(COUNTER_NOTABLE_CHANGES);
		tell(room, child, born, KIND_CHANGE, pack(CAUSE_FORK, 0));
	}
	return 0;
}

/* What user space was told of has ended, or the last of a session, whether it was told of it or not. */
static __noinline void forget(struct room *room, struct task_struct *task, struct task_record *known, __u32 tid)
{
	struct header *header = &room->record.header;
	__u32 session = known->session;
	__u64 start_ns = known->start_ns;
	int is_last = session && departed(session), is_told = known->is_told;
	if (!is_told && !is_last && tid == task->tgid && is_streamed(known))
		stream(room, task, known, KIND_STREAM_EXIT);
	bpf_map_delete_elem(&tasks, &tid);
	if (!is_told && !is_last)
		return;
	count(COUNTER_NOTABLE_EXITS);
	__builtin_memset(header, 0, sizeof(*header));
	header->kind = KIND_EXIT;
	header->flags = is_last ? FLAG_LAST : 0;
	header->session = session;
	header->boot_ns = bpf_ktime_get_boot_ns();
	header->start_ns = start_ns;
	header->leader_start_ns = BPF_CORE_READ(task, group_leader, start_boottime);
	header->tid = tid;
	header->tgid = task->tgid;
	send(&room->record, sizeof(*header));
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(on_exit, struct task_struct *task)
{
	struct room *room = get_room();
	if (!room)
		return 0;
	count(COUNTER_EXITS);
	struct task_record *known = find_task(task);
	if (known && (known->session || known->is_asked))
		tell_if_changed(room, task, known, pack(CAUSE_EXIT, 0));
	__u32 tid = task->pid, tgid = task->tgid;
	if (tid != tgid && known)
		forget(room, task, known, tid);
	if (task->signal->live.counter == 0) { /* the last thread of the process, whoever it is */
		struct task_record *leader = bpf_map_lookup_elem(&tasks, &tgid);
		if (leader)
			forget(room, task, leader, tgid);
	}
	return 0;
}

#endif
